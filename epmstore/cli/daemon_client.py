"""Asking the daemon: HTTP over its Unix socket, with the standard library and no more of it than
needed, because `status` must be quick.

The server is believed only if root, this user, or the owner of the socket's folder runs it; by root
only if root does.
"""

import contextlib
import json
import os
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from epmstore import __version__
from epmstore.errorform import Shape, error_from_form
from epmstore.errors import ConflictError, EpmError
from epmstore.places import DAEMON_LOCK, socket_path

PROTOCOL = "1"
CONNECT_SECONDS = 2.0
KNOWN_SECONDS = 5.0
"""For what the daemon answers from its memory."""
ANSWER_SECONDS = 60.0
_LIMIT = 256 << 20
_STATUS = re.compile(rb"[0-9]{3}")


class NoDaemonError(EpmError):
    """No daemon listens. `died`: there is a socket, so one did."""

    code = "no_daemon"

    @property
    def died(self) -> bool:
        return bool(self.data.get("died"))


class SilentError(EpmError):
    """A daemon listens, and does not answer in time."""

    code = "no_answer"


class DaemonError(EpmError):
    """What the daemon answered is an error; it has the code and exit code that the daemon says."""

    code = "daemon"


class Daemon:
    """The daemon of one store."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self.path = socket_path(store)
        self.release: str | None = None
        """That the daemon said to be of, with its last answer."""

    @property
    def skew(self) -> str | None:
        """What to say if the daemon is of another release than this program."""
        if self.release in (None, __version__):
            return None
        return (
            f"the daemon runs epmstore {self.release}, and this is {__version__}: restart it"
            " (systemctl restart epmstored)"
        )

    def get(self, path: str, *, wait: float = ANSWER_SECONDS) -> Shape:
        """Raises NoDaemonError, DaemonError, OSError, SilentError if nothing comes for `wait` s."""
        return self._ask("GET", path, None, wait)

    def post(self, path: str, body: Shape, *, wait: float = ANSWER_SECONDS) -> Shape:
        """Raises as `get`."""
        return self._ask("POST", path, body, wait)

    def events(self, path: str) -> Iterator[tuple[str, Shape]]:
        """Name and data of each event, until the daemon ends the stream. Raises as `get`."""
        with self._connect() as connection:
            connection.settimeout(KNOWN_SECONDS)
            with connection.makefile("rb") as lines:
                with self._in_time(KNOWN_SECONDS):
                    connection.sendall(_request("GET", path, None))
                    _check_status(lines.readline())
                    while lines.readline().strip():
                        pass
                connection.settimeout(None)
                yield from _events(lines)

    def _ask(self, method: str, path: str, body: Shape | None, wait: float) -> Shape:
        with self._connect() as connection, self._in_time(wait):
            connection.settimeout(wait)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                # one who refuses may have answered already, and says why
                connection.sendall(_request(method, path, body))
            data = bytearray()
            while piece := connection.recv(1 << 18):
                data += piece
                if len(data) > _LIMIT:
                    raise DaemonError("the daemon's answer does not end")
        self.release = _release_of(bytes(data)) or self.release
        return _answer(bytes(data))

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(CONNECT_SECONDS)
        try:
            with self._in_time(CONNECT_SECONDS):
                self._connect_to(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect_to(self, connection: socket.socket) -> None:
        try:
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise self._nobody(died=False) from None
        try:
            connection.connect(f"/proc/self/fd/{folder}/{self.path.name}")
            owner = os.fstat(folder).st_uid
        except FileNotFoundError:
            raise self._nobody(died=False) from None
        except ConnectionRefusedError:
            raise self._nobody(died=True) from None
        finally:
            os.close(folder)
        _, uid, _ = struct.unpack(
            "=iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        )
        trusted = (0, os.geteuid(), owner) if os.geteuid() else (0,)
        if uid not in trusted:
            raise ConflictError(f"{self.path} belongs to somebody else's process", uid=uid)

    @contextlib.contextmanager
    def _in_time(self, wait: float) -> Iterator[None]:
        try:
            yield
        except (TimeoutError, BlockingIOError):  # the latter: as many as may wait to be let in do
            raise SilentError(
                f"the daemon at {self.path} does not answer (waited {wait:g} s)",
                hint="it is stopped or hangs; see: systemctl status epmstored",
            ) from None

    def _nobody(self, *, died: bool) -> NoDaemonError:
        from epmstore import locks  # noqa: PLC0415 - start-up: only after a failure

        if not died and locks.is_held(self._store / "locks", DAEMON_LOCK):
            return NoDaemonError(
                f"a daemon runs for this store, and its socket {self.path} is not there",
                hint="it makes it anew within seconds: try again; else systemctl restart epmstored",
                died=False,
            )
        return NoDaemonError(
            f"no daemon listens at {self.path}" + (": the one that did has died" if died else ""),
            hint="start it: systemctl start epmstored, or epmstored run",
            died=died,
        )


def _request(method: str, path: str, body: Shape | None) -> bytes:
    """HTTP/1.0: the answer ends where the connection does."""
    data = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.0", "Host: localhost", f"Epmstore-Protocol: {PROTOCOL}"]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
    return "\r\n".join([*lines, "", ""]).encode() + data


def _answer(data: bytes) -> Shape:
    head, _, body = data.partition(b"\r\n\r\n")
    status = _status_of(head.partition(b"\r\n")[0])
    shape = _object(body)
    if status >= 400 and shape.get("type") != "health":  # it is not well, and says so
        raise error_of(shape)
    return shape


def _release_of(data: bytes) -> str | None:
    for line in data.partition(b"\r\n\r\n")[0].splitlines()[1:]:
        name, _, value = line.partition(b": ")
        if name.lower() == b"server" and value.startswith(b"epmstored/"):
            return value.removeprefix(b"epmstored/").decode(errors="replace")
    return None


def _object(data: bytes) -> Shape:
    """Raises DaemonError for what is no object of JSON."""
    try:
        shape = json.loads(data)
    except (ValueError, RecursionError):
        raise DaemonError("the daemon's answer breaks off") from None
    if not isinstance(shape, dict):
        raise DaemonError("the daemon's answer is none")
    return shape


def error_of(shape: Shape) -> DaemonError:
    """An error of the daemon as one of ours."""
    return error_from_form(shape, DaemonError)


def _check_status(line: bytes) -> None:
    status = _status_of(line)
    if status >= 400:
        raise DaemonError(f"the daemon refused ({status})", status=status)


def _status_of(line: bytes) -> int:
    words = line.split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not _STATUS.fullmatch(words[1]):
        raise DaemonError("what listens is no daemon of ours")
    return int(words[1])


def _events(lines: "Iterator[bytes]") -> Iterator[tuple[str, Shape]]:
    name = ""
    for raw in lines:
        field, _, value = raw.rstrip(b"\n").partition(b": ")
        if field == b"event":
            name = value.decode(errors="replace")
        elif field == b"data":
            yield name, _object(value)
