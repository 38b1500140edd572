"""What examines keys and heads from elsewhere: in a process of its own (epmstore/limited.py). What
it takes may be read by the caller.
"""

from collections.abc import Iterator

import msgspec

from epmstore.limited import LimitedReader, serve
from epmstore.refcat.signature import PublicKey
from epmstore.sync.heads import SignedHead, read_head, read_writer_key


class HeadOrder(msgspec.Struct, frozen=True):
    """A key and a head as they came, whose they are said to be, and the time."""

    key: bytes
    data: bytes
    writer: str
    depot: str
    now: float


def read_foreign_head(order: HeadOrder) -> tuple[PublicKey, SignedHead]:
    """A key and a head that came from a remote. Raises BadObjectError, BadSignatureError,
    NoStoreError, EpmError if reading them takes more than it may.
    """
    with LimitedReader(
        "epmstore.sync.headchild", order, what=f"the head of {order.writer}"
    ) as reader:
        for _ in reader.messages():
            pass
    return _examined(order)


def _examined(order: HeadOrder) -> tuple[PublicKey, SignedHead]:
    key = read_writer_key(order.key, order.writer)
    return key, read_head(order.data, order.writer, order.depot, key, order.now)


def _read(setting: bytes) -> Iterator[object]:
    _examined(msgspec.msgpack.decode(setting, type=HeadOrder))
    yield True


def main() -> None:
    serve(_read)
