"""A disk that remembers: every write and every flush that a file system sends to it, in order.

One file in a FUSE file system of ours, behind a loop device. The kernel's protocol is spoken here
directly: it is a dozen kinds of messages, and needs no library. What is written goes into the image
at once and into a log; a flush is an entry of the log without data.
"""

import contextlib
import ctypes
import errno
import mmap
import os
import signal
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.faults.disk import call, check, libc

LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE = 1, 2, 3, 4, 14, 15, 16
STATFS, RELEASE, FSYNC, FLUSH, INIT, DESTROY, FORGET_MANY = 17, 18, 20, 25, 26, 38, 42
SILENT = frozenset({FORGET, FORGET_MANY})
DONE = frozenset({RELEASE, FLUSH, FSYNC, DESTROY})

REQUEST = struct.Struct("<IIQQIIIHH")
REPLY = struct.Struct("<IiQ")
TRANSFER = struct.Struct("<QQII")
"""Handle, offset, size, flags: how requests to read and to write begin."""
TRANSFER_SIZE = 40
ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
ENTRY = struct.Struct("<QQQQII")
VALID = struct.Struct("<QII")
STARTED = struct.Struct("<IIIIHHIIHHIIH22x")
BIG_WRITES = 1 << 5
LARGEST = 128 << 10
HOLDS = 1 << 20
TOP, FILE = 1, 2
NAME = b"disk"
ENTRY_OF_LOG = struct.Struct("<QI")
FLUSHED = 0xFFFFFFFF
COUNT = struct.Struct("<Q")


class Write(NamedTuple):
    offset: int
    data: bytes

    def pieces(self, size: int) -> list["Write"]:
        starts = range(0, len(self.data), size)
        return [Write(self.offset + at, self.data[at : at + size]) for at in starts]


class Disk:
    """Serves an image from a process of its own. A context manager."""

    def __init__(self, image: Path, folder: Path) -> None:
        self._image = image
        self._place = folder / "fuse"
        self._log = folder / "writes"
        self._shared = mmap.mmap(-1, COUNT.size)
        self._process = 0
        self.device = ""

    def __enter__(self) -> "Disk":
        self._place.mkdir(exist_ok=True)
        self._log.unlink(missing_ok=True)
        fd = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={fd},rootmode=40000,user_id=0,group_id=0".encode()
        target = os.fsencode(self._place)
        check(libc.mount(b"disk", target, b"fuse", 0, ctypes.c_char_p(options)), "fuse")
        self._process = os.fork()
        if self._process == 0:
            with contextlib.suppress(KeyboardInterrupt):
                Server(fd, self._image, self._log, self._shared).serve()
            os._exit(0)
        os.close(fd)
        path = str(self._place / os.fsdecode(NAME))
        found = call(["losetup", "--find", "--show", "--direct-io=on", path])
        self.device = found.strip()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            call(["losetup", "-d", self.device])
        libc.umount2(os.fsencode(self._place), 2)
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)

    def position(self) -> int:
        """How many entries the log has now."""
        return int(COUNT.unpack_from(self._shared)[0])

    def log(self) -> list[Write | None]:
        """Writes, and null for a flush."""
        return [*self._entries()]

    def _entries(self) -> Iterator[Write | None]:
        with self._log.open("rb") as file:
            while head := file.read(ENTRY_OF_LOG.size):
                offset, length = ENTRY_OF_LOG.unpack(head)
                yield None if length == FLUSHED else Write(offset, file.read(length))


class Server:
    """Answers the kernel, one request at a time."""

    def __init__(self, fd: int, image: Path, log: Path, count: mmap.mmap) -> None:
        self._fd = fd
        file = os.open(image, os.O_RDWR)
        self._data = mmap.mmap(file, 0)
        os.close(file)
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._count = count
        self._entries = 0

    def serve(self) -> None:
        """Until the file system is unmounted."""
        while True:
            try:
                request = os.read(self._fd, HOLDS)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                continue
            _, kind, unique, node, *_ = REQUEST.unpack_from(request)
            if kind in SILENT:
                continue
            answer = self._answer(kind, node, memoryview(request)[REQUEST.size :])
            error_number, body = (answer, b"") if isinstance(answer, int) else (0, answer)
            head = REPLY.pack(REPLY.size + len(body), -error_number, unique)
            with contextlib.suppress(OSError):  # it was interrupted meanwhile
                os.writev(self._fd, [head, body])

    def _answer(self, kind: int, node: int, body: memoryview) -> bytes | int:
        """What to reply, or an error number."""
        if kind == INIT:
            return STARTED.pack(7, 31, 0, BIG_WRITES, 16, 12, LARGEST, 1, 0, 0, 0, 0, 0)
        if kind == LOOKUP:
            return self._entry() if bytes(body).rstrip(b"\0") == NAME else errno.ENOENT
        if kind in (GETATTR, SETATTR):
            return VALID.pack(9, 0, 0) + self._attributes(node)
        if kind == OPEN:
            return struct.pack("<QII", 1, 0, 0)
        if kind == READ:
            _, offset, size, _ = TRANSFER.unpack_from(body)
            return self._data[offset : offset + size]
        if kind == WRITE:
            return self._write(body)
        if kind == STATFS:
            return struct.pack("<QQQQQIII28x", 9, 9, 9, 9, 9, 4096, 255, 4096)
        if kind == FSYNC:
            self._note(ENTRY_OF_LOG.pack(0, FLUSHED))
        return b"" if kind in DONE else errno.ENOSYS

    def _write(self, body: memoryview) -> bytes:
        _, offset, size, _ = TRANSFER.unpack_from(body)
        data = body[TRANSFER_SIZE : TRANSFER_SIZE + size]
        self._data[offset : offset + size] = bytes(data)
        self._note(ENTRY_OF_LOG.pack(offset, size) + data)
        return struct.pack("<II", size, 0)

    def _note(self, entry: bytes) -> None:
        os.write(self._log, entry)
        self._entries += 1
        COUNT.pack_into(self._count, 0, self._entries)

    def _entry(self) -> bytes:
        return ENTRY.pack(FILE, 0, 9, 9, 0, 0) + self._attributes(FILE)

    def _attributes(self, node: int) -> bytes:
        is_file = node == FILE
        mode = stat.S_IFREG | 0o600 if is_file else stat.S_IFDIR | 0o700
        size = len(self._data) if is_file else 0
        times = (0,) * 6
        return ATTRIBUTES.pack(node, size, size // 512, *times, mode, 1, 0, 0, 0, 4096, 0)
