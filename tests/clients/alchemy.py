"""SQLAlchemy's ORM, in this process."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import psycopg
from sqlalchemy import create_engine, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool

from region_tick.database_url import DatabaseUrl
from tests.clients.edits import Act

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clients.edits import Client, Edit


class Base(DeclarativeBase):
    pass


class Region(Base):
    __tablename__ = "region_index"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    code: Mapped[str]
    name: Mapped[str]
    cron_schedule: Mapped[str]


@contextmanager
def sqlalchemy_client(url: str) -> Iterator[Client]:
    """Yield a client of a database, which may be behind a PgBouncer."""
    conninfo = DatabaseUrl.parse(url).conninfo
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(conninfo, prepare_threshold=None),
        poolclass=NullPool,
    )

    def edit(wanted: Edit) -> None:
        with Session(engine) as session:
            _apply(session, wanted)
            if wanted.act is Act.ROLL_BACK:
                session.rollback()
            session.commit()

    yield edit
    engine.dispose()


def _apply(session: Session, wanted: Edit) -> None:
    those = Region.code.in_(wanted.codes)
    rows = [{"code": code, **wanted.values} for code in wanted.codes]
    match wanted.act:
        case Act.CREATE:
            session.add_all([Region(**row) for row in rows])
        case Act.UPDATE:
            region = session.scalars(select(Region).where(those)).one()
            for column, value in wanted.values.items():
                setattr(region, column, value)
        case Act.UPDATE_MANY | Act.ROLL_BACK:
            session.execute(update(Region).where(those).values(**wanted.values))
        case Act.UPSERT:
            statement = insert(Region).values(rows)
            session.execute(statement.on_conflict_do_update(index_elements=["code"], set_=dict(wanted.values)))
        case Act.DELETE:
            session.execute(delete(Region).where(those))
