"""The tables of the handler `poll`: whom each region polls, the upstreams that are asked, and what was published.

Regions share upstreams: creators with the same platform, handle and url have one upstream, which is asked once for all
of them. What an upstream publishes is stored once, and each region gets it by rows of item. See `tables`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from region_operator.database.columns import column, metadata, region_id, source, stamp, text_column, time_column
from region_tick.contract import SCHEMA

_NOT_WRITTEN = "Of the release before upstream was made; not written any more."

upstream = Table(
    "upstream",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True, comment="Says which upstream it is."),
    column("platform", Text, "How to ask it, as in creator."),
    text_column("handle", "The name on the platform, as in creator."),
    text_column("url", "The address, as in creator."),
    text_column("kind", "What its document was when it was first read: feed or page; null where there is no choice."),
    text_column("etag", "The ETag of the last answer whose items are all stored, as it came."),
    text_column("last_modified", "The Last-Modified of that answer, as it came."),
    text_column("platform_id", "What the platform calls what is asked for, once that was looked up."),
    text_column("moved_to", "The URL that is asked instead of url, because the upstream moved for good."),
    time_column(
        "not_before", "Until when it is left alone. Set it to null to have it asked at the next tick of any region."
    ),
    time_column("last_polled_at", "When it last gave a useful answer."),
    text_column("last_error", "What went wrong since that answer, or with it; null where nothing did."),
    column("failures", Integer, "How many refusals there were in a row.", default="0"),
    column("transient_failures", Integer, "How many failures in a row may have passed by themselves.", default="0"),
    column("last_item", BigInteger, "The largest id of its rows in upstream_item, also of a deleted one.", default="0"),
    time_column("asking_until", "Until when one tick or worker has it to itself, to ask it; null or past: nobody."),
    text_column("asking_by", "Who that is."),
    stamp("created_at", "When the row was made."),
    Column("fresh_seconds", Integer, comment="For how long its answers are fresh, as it said last."),
    time_column(
        "fresh_until", "Before ticks of this time it is not asked. Set it to null to have it asked at the next tick."
    ),
    schema=SCHEMA,
    comment="Whom the creators of all regions name, each one once, and what the last answer said. Ticks fill it.",
)

Index(
    "upstream_address",
    upstream.c.platform,
    text("coalesce(handle, '')"),
    text("coalesce(url, '')"),
    unique=True,
)

creator = Table(
    "creator",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True, comment="Says which creator it is."),
    source(),
    region_id(),
    column("platform", Text, "How to ask the creator: http, youtube or tiktok."),
    text_column("handle", "The creator's name on the platform, for youtube and tiktok."),
    text_column("url", "The address to ask, for http."),
    text_column("etag", _NOT_WRITTEN),
    text_column("last_modified", _NOT_WRITTEN),
    time_column(
        "not_before", "Until when the creator is left alone for this region; only people set it. See upstream."
    ),
    stamp("created_at", "When the row was made."),
    stamp("updated_at", "When platform, handle or url were last changed; a trigger sets it."),
    text_column("platform_id", _NOT_WRITTEN),
    time_column("last_polled_at", "When the upstream gave the answer that this region had last."),
    text_column("last_error", "What went wrong since then, as this region's last tick saw it; null where nothing did."),
    column("failures", Integer, "How many refusals there were in a row, as that tick saw it.", default="0"),
    Column(
        "upstream_id",
        ForeignKey(upstream.c.id, ondelete="SET NULL"),
        comment="Whom the creator means; null until the region's next tick.",
    ),
    column("delivered_until", BigInteger, "The largest id in upstream_item that the region has got.", default="0"),
    UniqueConstraint("source", "region_id", "platform", "handle"),
    UniqueConstraint("source", "region_id", "platform", "url"),
    CheckConstraint(text("handle IS NOT NULL OR url IS NOT NULL"), name="address"),
    schema=SCHEMA,
    comment="Whom a region polls. Fill it: a new address empties what was known.",
)

Index("creator_upstream", creator.c.upstream_id)

upstream_item = Table(
    "upstream_item",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True, comment="Grows with each item of an upstream."),
    Column(
        "upstream_id", ForeignKey(upstream.c.id, ondelete="CASCADE"), nullable=False, comment="Who published the item."
    ),
    column("item_id", Text, "What the platform calls the item; of more than 512 characters, their hash."),
    text_column("url", "Where the item is."),
    text_column("title", "The item's title."),
    text_column("author", "Who wrote the item, where the platform says so."),
    text_column("summary", "The beginning of the description or the text, without markup."),
    Column("raw", JSONB, comment="The entry as the platform sent it, without what is too long."),
    time_column("published_at", "When the item was published, as the platform says."),
    stamp("first_seen_at", "When a tick or a worker first saw the item."),
    column("backlog", Boolean, "Whether the upstream's first answer had the item already.", default="false"),
    schema=SCHEMA,
    comment="What upstreams published, as it was when it was first seen. Read it by the view items.",
)

Index("upstream_item_number", upstream_item.c.upstream_id, upstream_item.c.id)
Index("upstream_item_first_seen", upstream_item.c.first_seen_at)

seen = Table(
    "seen",
    metadata,
    Column("upstream_id", ForeignKey(upstream.c.id, ondelete="CASCADE"), nullable=False, comment="The upstream."),
    column("hash", LargeBinary, "The first 16 bytes of the SHA-256 of the item's item_id."),
    PrimaryKeyConstraint("upstream_id", "hash"),
    schema=SCHEMA,
    comment="Which items were seen, also of those that are deleted: an item that was seen never comes again.",
)

item = Table(
    "item",
    metadata,
    Column("creator_id", ForeignKey(creator.c.id, ondelete="CASCADE"), nullable=False, comment="The item's creator."),
    column("item_id", Text, "What the platform calls the item; of more than 512 characters, their hash."),
    text_column("url", "Where the item is."),
    text_column("title", "The item's title."),
    time_column("published_at", "When the item was published, as the platform says."),
    stamp("first_seen_at", "When the region got the item."),
    Column(
        "seq",
        BigInteger,
        Identity(),
        nullable=False,
        comment="The item's number: an item that is committed later has a larger one. Keep the last one that you read.",
    ),
    Column("upstream_item_id", BigInteger, comment="The item in upstream_item; null where an earlier release wrote."),
    column("backlog", Boolean, "Whether the item was there before the creator was.", default="false"),
    PrimaryKeyConstraint("creator_id", "item_id"),
    UniqueConstraint("seq"),
    schema=SCHEMA,
    comment="What each region got, once, as it was when it was first seen. Read it by the view items.",
)

Index("item_first_seen", item.c.first_seen_at)
