"""What a client does to the table, as values, so that each client does the same in its own way."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Act(StrEnum):
    """A kind of edit. Prisma, Django and SQL call the same thing by different names."""

    CREATE = "create"
    """createMany, bulk_create, an INSERT of many rows."""
    UPDATE = "update"
    """One row, as an object that is read, changed and saved where the client works so."""
    UPDATE_MANY = "update_many"
    UPSERT = "upsert"
    DELETE = "delete"
    ROLL_BACK = "roll_back"
    """A transaction that updates many rows and rolls back."""


@dataclass(frozen=True, slots=True)
class Edit:
    """An act on the rows with these codes. UPDATE and UPSERT take one code. `values` are texts by column."""

    act: Act
    codes: tuple[str, ...]
    values: Mapping[str, str] = field(default_factory=dict)


if TYPE_CHECKING:
    Client = Callable[[Edit], None]
    """Makes an edit, and returns when the client's own call has returned."""
