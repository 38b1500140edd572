"""The requests of SFTP, as a remote needs them: many on their way at once, and each refusal by its
number.

The library's own files drop what a server says of a write that was sent ahead, and leave a thread
behind where a read was cut off. So requests are sent, and answers awaited, here. One channel is
used by one thread at a time.
"""

import contextlib
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

import paramiko
from paramiko.message import Message
from paramiko.sftp import (
    CMD_CLOSE,
    CMD_DATA,
    CMD_EXTENDED,
    CMD_HANDLE,
    CMD_NAME,
    CMD_OPEN,
    CMD_OPENDIR,
    CMD_READ,
    CMD_READDIR,
    CMD_STATUS,
    CMD_WRITE,
    SFTP_FLAG_CREATE,
    SFTP_FLAG_EXCL,
    SFTP_FLAG_READ,
    SFTP_FLAG_WRITE,
    int64,
)

from epmstore.remotes.sftp_errors import BROKEN, UNSUPPORTED, StatusError

BLOCK: Final = 32_768
"""Bytes of one request: what every server takes."""
AHEAD: Final = 48
"""Requests on their way at once."""
PACKET_MAX: Final = 1 << 20
PATIENCE: Final = 60.0
"""Seconds for one answer, however steadily it drips."""
FSYNC: Final = "fsync@openssh.com"
STATVFS: Final = "statvfs@openssh.com"
POSIX_RENAME: Final = "posix-rename@openssh.com"


class SftpEntry(NamedTuple):
    """A name in a folder, and what is known of it."""

    name: bytes
    attributes: paramiko.SFTPAttributes


class _Answers:
    """Answers to requests that were sent ahead, by the number of each."""

    def __init__(self) -> None:
        self.found: dict[int, tuple[int, Message]] = {}

    def _async_response(self, kind: int, answer: Message, number: int) -> None:
        self.found[number] = (kind, answer)


class SftpChannel(paramiko.SFTPClient):
    """One conversation with a server. Errors: StatusError, and those of `sftp_errors.BROKEN`."""

    timer: Callable[[], float] = time.monotonic

    if TYPE_CHECKING:  # what the library has, and its types have not

        def _request(self, command: int, *words: object) -> tuple[int, Message]: ...

        def _async_request(self, answers: _Answers, command: int, *words: object) -> int: ...

        def _read_response(self) -> None: ...

    def _convert_status(self, answer: Message) -> None:
        number, text = answer.get_int(), answer.get_binary()
        if number == 1:
            raise EndOfFileError
        if number:
            raise StatusError(number, text.decode("utf-8", "replace"))

    def _read_all(self, count: int) -> bytes:
        if count > PACKET_MAX:
            raise paramiko.SFTPError("a packet is too large")
        begun, parts = self.timer(), bytearray()
        while len(parts) < count:
            piece = self.sock.recv(count - len(parts))
            if not piece:
                raise EOFError
            parts += piece
            if len(parts) < count and self.timer() - begun > PATIENCE:
                raise TimeoutError
        return bytes(parts)

    @contextlib.contextmanager
    def opened(self, path: str, *, new: bool = False, on: bool = False) -> Iterator[bytes]:
        """A handle of a file that is there, to be read; of one that is made, to be written; or of
        one that is there to be written `on`.
        """
        flags = SFTP_FLAG_WRITE | SFTP_FLAG_CREATE | SFTP_FLAG_EXCL if new else SFTP_FLAG_READ
        flags = SFTP_FLAG_WRITE if on else flags
        handle = self._handle(CMD_OPEN, path, flags, paramiko.SFTPAttributes())
        try:
            yield handle
        except BROKEN:
            raise
        except (Exception, GeneratorExit):
            with contextlib.suppress(StatusError):
                self._request(CMD_CLOSE, handle)
            raise
        self._request(CMD_CLOSE, handle)

    def pieces(self, handle: bytes, start: int, end: int) -> Iterator[bytes]:
        """Bytes of a file up to `end`, or to where it ends."""
        answers = _Answers()
        asked: deque[tuple[int, int, int]] = deque()
        ahead = start
        while ahead < end or asked:
            while ahead < end and len(asked) < AHEAD:
                size = min(BLOCK, end - ahead)
                asked.append((self._ask(answers, handle, ahead, size), ahead, size))
                ahead += size
            number, at, size = asked.popleft()
            while size:
                while number not in answers.found:
                    self._read_response()
                piece = self._data(*answers.found.pop(number))
                if not piece:
                    return
                yield piece[:size]
                at, size = at + len(piece[:size]), size - len(piece[:size])
                if size:
                    number = self._ask(answers, handle, at, size)

    def write_all(self, handle: bytes, pieces: Iterable[bytes], at: int = 0) -> int:
        """Write a file from its beginning, or from `at` on; how many bytes it has then."""
        answers = _Answers()
        waiting = 0
        for piece in pieces:
            for start in range(0, len(piece), BLOCK):
                block = piece[start : start + BLOCK]
                self._async_request(answers, CMD_WRITE, handle, int64(at), block)
                at, waiting = at + len(block), waiting + 1
                while waiting > AHEAD:
                    waiting -= self._written(answers)
        while waiting:
            waiting -= self._written(answers)
        return at

    def sync(self, handle: bytes) -> bool:
        """Make a file durable; False if the server offers no such thing."""
        return self._extended(FSYNC, handle)

    def rename_over(self, old: str, new: str) -> bool:
        """Rename, whatever is there; False if the server offers no such thing."""
        return self._extended(POSIX_RENAME, old, new)

    def room(self, path: str) -> int | None:
        """Bytes that are free there; None if the server does not say."""
        with contextlib.suppress(StatusError):
            _, answer = self._request(CMD_EXTENDED, STATVFS, path)
            _, size, _, _, free = struct.unpack(">5Q", answer.get_bytes(40))
            return int(size * free)
        return None

    def entries(self, path: str) -> Iterator[SftpEntry]:
        """What is in a folder, in the order of the server."""
        handle = self._handle(CMD_OPENDIR, path)
        try:
            while True:
                kind, answer = self._request(CMD_READDIR, handle)
                if kind != CMD_NAME:
                    raise paramiko.SFTPError("a listing is none")
                for _ in range(answer.get_int()):
                    name, _ = answer.get_binary(), answer.get_binary()
                    found = paramiko.SFTPAttributes._from_msg(answer)  # type: ignore[attr-defined]
                    yield SftpEntry(name, found)
        except EndOfFileError:
            pass
        finally:
            with contextlib.suppress(StatusError):
                self._request(CMD_CLOSE, handle)

    def _handle(self, command: int, *words: object) -> bytes:
        kind, answer = self._request(command, *words)
        if kind != CMD_HANDLE:
            raise paramiko.SFTPError("a file was not opened")
        return bytes(answer.get_binary())

    def _ask(self, answers: _Answers, handle: bytes, at: int, size: int) -> int:
        return self._async_request(answers, CMD_READ, handle, int64(at), size)

    def _data(self, kind: int, answer: Message) -> bytes:
        """Nothing at the end of a file."""
        if kind == CMD_STATUS:
            with contextlib.suppress(EndOfFileError):
                self._convert_status(answer)
            return b""
        if kind != CMD_DATA:
            raise paramiko.SFTPError("an answer to a read is none")
        return bytes(answer.get_binary())

    def _written(self, answers: _Answers) -> int:
        """How many writes more are done."""
        self._read_response()
        for kind, answer in answers.found.values():
            if kind != CMD_STATUS:
                raise paramiko.SFTPError("an answer to a write is none")
            self._convert_status(answer)
        count = len(answers.found)
        answers.found.clear()
        return count

    def _extended(self, *words: object) -> bool:
        try:
            self._request(CMD_EXTENDED, *words)
        except StatusError as error:
            if error.number == UNSUPPORTED:
                return False
            raise
        return True


class EndOfFileError(Exception):
    """A file or a listing has no more."""
