"""A disk with a volatile cache, for a virtual machine: an NBD server that can lose its power.

What was written is in the cache; a flush makes it durable, and nothing else does. When the power
goes, each block of the cache has by chance what is durable of it, or any of what was written to it
since the last flush: so writes are lost, and reordered. A block, of 4 KiB, is never torn.

It lies over an image, which is not written to. Whoever takes a `Platter` keeps a state of the disk.
"""

import contextlib
import mmap
import random
import socket
import struct
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

BLOCK: Final = 4096
Platter: TypeAlias = Mapping[int, bytes]
"""What is durable of a disk and not as in its image, by the number of the block."""

OPTION: Final = 0x49484156454F5054
OPTION_REPLY: Final = 0x3E889045565A9
REQUEST: Final = 0x25609513
REPLY: Final = 0x67446698
GO, INFO = 7, 6
ACKNOWLEDGED, EXPORT, UNSUPPORTED = 1, 3, 1 << 31 | 1
READ, WRITE, END, FLUSH = range(4)
HAS_FLAGS, CAN_FLUSH = 1, 4
FIXED, NO_ZEROES = 1, 2
INVALID: Final = 22


class Lost(NamedTuple):
    """What a cut did to the cache: blocks that were in it, and that did not get to the disk as they
    were written last.
    """

    cached: int
    lost: int


class Drive:
    """Serves one connection at a time on a socket, until `close`."""

    def __init__(self, image: Path, path: Path, platter: Platter | None = None) -> None:
        with image.open("rb") as file:
            self._image = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._durable = dict(platter or {})
        self._cache: dict[int, list[bytes]] = {}
        self._lock = threading.Lock()
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX)
        path.unlink(missing_ok=True)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(60)
        self._image.close()

    @property
    def platter(self) -> Platter:
        """What is durable now; what is written later does not change it."""
        with self._lock:
            return dict(self._durable)

    def cut(self, rng: random.Random) -> Lost:
        """The power is gone. Whoever was connected must be dead."""
        with self._lock:
            share = rng.choice((0.0, 0.5, 0.9, 1.0))
            cache, lost = self._cache, 0
            for number in sorted(cache):
                if rng.random() < share:
                    kept = rng.randrange(len(cache[number])) if rng.random() < 0.1 else -1
                    self._durable[number] = cache[number][kept]
                    lost += self._durable[number] != cache[number][-1]
                else:
                    lost += 1
            self._cache = {}
            return Lost(len(cache), lost)

    # What the machine sees.

    def read(self, offset: int, length: int) -> bytes:
        first, last = offset // BLOCK, -(-(offset + length) // BLOCK)
        with self._lock:
            data = b"".join(map(self._block, range(first, last)))
        return data[offset - first * BLOCK :][:length]

    def write(self, offset: int, data: bytes) -> None:
        """Raises ValueError if it is not whole blocks."""
        if offset % BLOCK or len(data) % BLOCK:
            raise ValueError(f"not whole blocks: {len(data)} at {offset}")
        with self._lock:
            for at in range(0, len(data), BLOCK):
                number = (offset + at) // BLOCK
                self._cache.setdefault(number, []).append(data[at : at + BLOCK])

    def flush(self) -> None:
        with self._lock:
            self._durable.update((number, kept[-1]) for number, kept in self._cache.items())
            self._cache = {}

    def _block(self, number: int) -> bytes:
        if cached := self._cache.get(number):
            return cached[-1]
        if (durable := self._durable.get(number)) is not None:
            return durable
        return self._image[number * BLOCK : (number + 1) * BLOCK]

    # The protocol.

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                with client, contextlib.suppress(EOFError, ConnectionError):
                    if self._greet(client):
                        self._serve(client)

    def _greet(self, client: socket.socket) -> bool:
        """Whether somebody wants the disk. Whatever name it is asked for by, there is one."""
        client.sendall(b"NBDMAGIC" + struct.pack(">QH", OPTION, FIXED | NO_ZEROES))
        _receive(client, 4)
        while True:
            _, option, length = struct.unpack(">QII", _receive(client, 16))
            _receive(client, length)

            def answer(kind: int, data: bytes = b"", option: int = option) -> None:
                head = struct.pack(">QIII", OPTION_REPLY, option, kind, len(data))
                client.sendall(head + data)

            if option not in (GO, INFO):
                answer(UNSUPPORTED)
                continue
            answer(EXPORT, struct.pack(">HQH", 0, len(self._image), HAS_FLAGS | CAN_FLUSH))
            answer(ACKNOWLEDGED)
            if option == GO:
                return True

    def _serve(self, client: socket.socket) -> None:
        while True:
            head = _receive(client, 28)
            _, _, kind, cookie, offset, length = struct.unpack(">IHHQQI", head)
            error, data = 0, b""
            if kind == READ:
                data = self.read(offset, length)
            elif kind == WRITE:
                self.write(offset, _receive(client, length))
            elif kind == FLUSH:
                self.flush()
            elif kind == END:
                return
            else:
                error = INVALID
            client.sendall(struct.pack(">IIQ", REPLY, error, cookie) + data)


def _receive(client: socket.socket, length: int) -> bytes:
    """Raises EOFError."""
    data = bytearray()
    while len(data) < length:
        piece = client.recv(length - len(data))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)
