"""The tables of the handler `poll`: whom a region polls, and what was published. See `tables`."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from region_operator.database.columns import column, metadata, region_id, source, stamp, text_column, time_column
from region_tick.contract import SCHEMA

creator = Table(
    "creator",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True, comment="Says which creator it is."),
    source(),
    region_id(),
    column("platform", Text, "How to ask the creator: http, youtube or tiktok."),
    text_column("handle", "The creator's name on the platform, for youtube and tiktok."),
    text_column("url", "The address to ask, for http."),
    text_column("etag", "The ETag of the last answer, as it came."),
    text_column("last_modified", "The Last-Modified of the last answer, as it came."),
    time_column(
        "not_before", "Until when the creator is left alone. Set it to null to have it asked at the next tick."
    ),
    stamp("created_at", "When the row was made."),
    stamp("updated_at", "When platform, handle or url were last changed; a trigger sets it."),
    text_column("platform_id", "What the platform calls what is asked for, once that was looked up."),
    time_column("last_polled_at", "When the creator last answered."),
    text_column("last_error", "What went wrong since the last answer; null where nothing did."),
    column("failures", Integer, "How many refusals there were in a row.", default="0"),
    UniqueConstraint("source", "region_id", "platform", "handle"),
    UniqueConstraint("source", "region_id", "platform", "url"),
    CheckConstraint(text("handle IS NOT NULL OR url IS NOT NULL"), name="address"),
    schema=SCHEMA,
    comment="Whom a region polls, and what the last answer said. Fill it: a new address empties what was known.",
)

item = Table(
    "item",
    metadata,
    Column("creator_id", ForeignKey(creator.c.id, ondelete="CASCADE"), nullable=False, comment="The item's creator."),
    column("item_id", Text, "What the platform calls the item; of more than 512 characters, their hash."),
    text_column("url", "Where the item is."),
    text_column("title", "The item's title."),
    time_column("published_at", "When the item was published, as the platform says."),
    stamp("first_seen_at", "When a tick or a worker first saw the item."),
    PrimaryKeyConstraint("creator_id", "item_id"),
    schema=SCHEMA,
    comment="What creators published, as it was when it was first seen. Delete what is no longer wanted.",
)
