"""POST /v1/orders by FastAPI. PGHOST and PGDATABASE say where the database is; FORM is statements (SQLAlchemy) or one
(asyncpg)."""

import base64
import hashlib
import os
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from order import ORDER
from tables import Allocation, Event, IdempotencyKey, Order, OrderLine, Pool, Profile, Secret, StockMove

AUTHORIZATION = f"Bearer {os.environ.get('KEY', '')}"
KEY_ID = "key_01m81s1wrze75akcb1gxw48nas"
POOL_SIZE = 8


def uuid7() -> UUID:
    """Sorts by time, as simdepot's ids do."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    return UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


def named(order: UUID) -> str:
    return f"ord_{order.hex[:26]}"


def sha256(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()


class Line(BaseModel):
    pool: str
    quantity: int = Field(ge=1, le=1)


class OrderRequest(BaseModel):
    reference: str = Field(min_length=1)
    lines: list[Line] = Field(min_length=1, max_length=1)
    reveal: bool = True


def answer(name: str, reference: str, pool: str, profile, code: bytes) -> dict:
    shown = {"iccid": profile.iccid, "msisdn": profile.msisdn, "stock_status": "allocated", "outcome": "fulfilled"}
    shown["activation"] = {"sealed": base64.b64encode(code).decode()}
    line = {"pool": pool, "quantity": 1, "profiles": [shown]}
    return {"id": name, "reference": reference, "channel": "default", "status": "fulfilled", "lines": [line]}


class Statements:
    """Rows as objects, in a session's transaction."""

    async def open(self) -> None:
        url = f"postgresql+asyncpg://postgres@/{os.environ['PGDATABASE']}?host={os.environ['PGHOST']}"
        self.engine = create_async_engine(url, pool_size=POOL_SIZE, max_overflow=0)
        self.sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    async def close(self) -> None:
        await self.engine.dispose()

    async def ready(self) -> None:
        async with self.sessions() as session:
            await session.execute(text("SELECT 1"))

    async def place(self, request: OrderRequest, key: str) -> dict:
        async with self.sessions() as session, session.begin():
            return await self.take(session, request, key)

    async def take(self, session: AsyncSession, request: OrderRequest, key: str) -> dict:
        now, order = datetime.now(UTC), uuid7()
        name, [line] = named(order), request.lines
        pool_id = await session.scalar(select(Pool.id).where(Pool.pool == line.pool))
        lines_hash = sha256(line.model_dump_json())
        session.add(Order(id=order, channel="default", reference=request.reference, request_hash=lines_hash, reveal=True,
                          status="fulfilled", version=2, created_at=now, updated_at=now))
        await session.flush()
        session.add(OrderLine(order_id=order, line_no=0, pool_id=pool_id, quantity=1))
        on_sale = select(Profile).where(Profile.pool_id == pool_id, Profile.stock_status == "available", Profile.sell_by > now)
        first = on_sale.order_by(Profile.sell_by, Profile.batch_no, Profile.id).limit(1)
        profile = await session.scalar(first.with_for_update(skip_locked=True))
        if profile is None:
            raise HTTPException(409, "out of stock")
        profile.stock_status, profile.hold_id, profile.revealed_at = "allocated", None, now
        profile.version, profile.updated_at = profile.version + 2, now
        session.add(Allocation(profile_id=profile.id, order_id=order, line_no=0, position=0, outcome="fulfilled", created_at=now))
        day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        await session.execute(insert(StockMove).values(pool_id=pool_id, from_status="available", to_status="allocated",
                                                       sell_by=profile.sell_by, day=day, profiles=1))
        for kind, subject, version, type_name, data in [
            ("order", name, 1, "order.created", {"channel": "default", "quantity": 1, "reference": request.reference}),
            ("order", name, 2, "order.status_changed", {"to": "fulfilled", "from": "in_progress"}),
            ("profile", profile.iccid, profile.version - 1, "profile.stock_moved",
             {"to": "allocated", "from": "available", "order": name}),
            ("profile", profile.iccid, profile.version, "profile.code_revealed", {"key": KEY_ID, "order": name}),
        ]:
            session.add(Event(id=uuid7(), at=now, subject_kind=kind, subject_id=subject, version=version, type_name=type_name,
                              data=data))
        session.add(IdempotencyKey(channel="default", key=key, request="POST /v1/orders", status=201, resource_id=name,
                                   body_hash=sha256(request.model_dump_json()), created_at=now,
                                   expires_at=now + timedelta(days=1)))
        code = await session.scalar(select(Secret.activation_code).where(Secret.profile_id == profile.id))
        return answer(name, request.reference, line.pool, profile, code)


class One:
    """One prepared statement on asyncpg alone."""

    async def open(self) -> None:
        self.pool = await asyncpg.create_pool(host=os.environ["PGHOST"], user="postgres", database=os.environ["PGDATABASE"],
                                              min_size=POOL_SIZE, max_size=POOL_SIZE)

    async def close(self) -> None:
        await self.pool.close()

    async def ready(self) -> None:
        await self.pool.execute("SELECT 1")

    async def place(self, request: OrderRequest, key: str) -> dict:
        order, [line] = uuid7(), request.lines
        name = named(order)
        profile = await self.pool.fetchrow(
            ORDER, line.pool, order, name, request.reference, sha256(line.model_dump_json()), key,
            sha256(request.model_dump_json()), uuid7(), uuid7(), uuid7(), uuid7(), KEY_ID)
        if profile is None:
            raise HTTPException(409, "out of stock")
        return answer(name, request.reference, line.pool, Row(profile["iccid"], profile["msisdn"]), profile["activation_code"])


class Row:
    def __init__(self, iccid: str, msisdn: str | None) -> None:
        self.iccid, self.msisdn = iccid, msisdn


service = One() if os.environ.get("FORM") == "one" else Statements()


@asynccontextmanager
async def lifespan(_: FastAPI):
    await service.open()
    yield
    await service.close()


app = FastAPI(lifespan=lifespan)


@app.get("/readyz")
async def readyz() -> dict:
    await service.ready()
    return {}


@app.post("/v1/orders", status_code=201)
async def order(request: OrderRequest, authorization: str = Header(), idempotency_key: str = Header()) -> dict:
    if authorization != AUTHORIZATION:
        raise HTTPException(401)
    return await service.place(request, idempotency_key)
