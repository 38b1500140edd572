"""Writers of depots, as another host would be one: with keys, heads and segments of their own."""

import hashlib
from typing import Any

from epmstore.catalog.format import encode
from epmstore.catalog.model import START, CatalogPosition, LabelRecord, Written
from epmstore.refcat.signature import make_key, read_key
from epmstore.sync.heads import Head, HeadApp, SegmentRef, SignedHead, sign_head

DEPOT = "d" * 32
CRM = "c" * 32
NOW = 2_000_000_000.0
SECRET, PUBLIC = make_key("epmstore")
KEY = read_key(PUBLIC)
OTHER_SECRET, OTHER_PUBLIC = make_key("epmstore")
OTHER_KEY = read_key(OTHER_PUBLIC)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def labels(count: int, after: CatalogPosition = START) -> tuple[bytes, CatalogPosition]:
    """Sealed lines, and the position behind them."""
    records: list[Written] = [
        LabelRecord(version=n, label=f"label {n}", time="2026-01-01T00:00:00.000Z")
        for n in range(after.seq, after.seq + count)
    ]
    lines = [*encode(records, after)]
    return b"".join(line for line, _ in lines), lines[-1][1]


def segment(data: bytes, first: int, last: int) -> SegmentRef:
    return SegmentRef(first, last, len(data), sha256(data))


def head_app(**changed: Any) -> HeadApp:
    data, behind = labels(3)
    said: dict[str, Any] = {
        "app": CRM,
        "key": "crm",
        "root": "/opt/crm",
        "lines": behind.seq,
        "line": behind.head,
        "segments": (segment(data, 0, 2),),
    }
    return HeadApp(**{**said, **changed})


def head(**changed: Any) -> Head:
    said: dict[str, Any] = {
        "depot": DEPOT,
        "writer": KEY.fingerprint,
        "number": 1,
        "time": "2026-11-30T12:00:00.000Z",
        "epmstore": "0.1.0",
        "apps": (head_app(),),
    }
    return Head(**{**said, **changed})


def signed(found: Head) -> SignedHead:
    return sign_head(found, SECRET, KEY, NOW)
