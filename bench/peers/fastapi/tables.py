"""The tables that an order writes, for SQLAlchemy."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, FetchedValue, Identity, LargeBinary, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    type_annotation_map = {datetime: DateTime(timezone=True), int: BigInteger, str: Text, bytes: LargeBinary, dict: JSONB}


class Pool(Base):
    __tablename__ = "pools"
    id: Mapped[int] = mapped_column(primary_key=True)
    pool: Mapped[str]


class Profile(Base):
    __tablename__ = "profiles"
    id: Mapped[int] = mapped_column(primary_key=True)
    iccid: Mapped[str]
    pool_id: Mapped[int]
    msisdn: Mapped[str | None]
    batch_no: Mapped[int]
    stock_status: Mapped[str]
    sell_by: Mapped[datetime]
    hold_id: Mapped[UUID | None]
    revealed_at: Mapped[datetime | None]
    version: Mapped[int]
    updated_at: Mapped[datetime]


class Secret(Base):
    __tablename__ = "profile_secrets"
    profile_id: Mapped[int] = mapped_column(primary_key=True)
    activation_code: Mapped[bytes | None]


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    channel: Mapped[str]
    reference: Mapped[str]
    request_hash: Mapped[bytes]
    status: Mapped[str]
    reveal: Mapped[bool]
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class OrderLine(Base):
    __tablename__ = "order_lines"
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    line_no: Mapped[int] = mapped_column(primary_key=True)
    pool_id: Mapped[int]
    quantity: Mapped[int]


class Allocation(Base):
    __tablename__ = "allocations"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    profile_id: Mapped[int]
    order_id: Mapped[UUID]
    line_no: Mapped[int]
    position: Mapped[int]
    outcome: Mapped[str]
    created_at: Mapped[datetime]


class Event(Base):
    __tablename__ = "events"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    subject_kind: Mapped[str]
    subject_id: Mapped[str]
    version: Mapped[int]
    type_name: Mapped[str]
    data: Mapped[dict]


class IdempotencyKey(Base):
    __tablename__ = "idempotency_keys"
    channel: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request: Mapped[str]
    body_hash: Mapped[bytes]
    status: Mapped[int]
    resource_id: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class StockMove(Base):
    """Has no key of its own; inserted, never loaded."""

    __tablename__ = "stock_moves"
    txid: Mapped[int] = mapped_column(primary_key=True, server_default=FetchedValue())
    pool_id: Mapped[int]
    from_status: Mapped[str | None]
    to_status: Mapped[str | None]
    sell_by: Mapped[datetime]
    day: Mapped[datetime]
    profiles: Mapped[int]
