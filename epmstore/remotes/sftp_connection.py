"""Ways into an SFTP server: who it is, who we are, and connections that are used again.

A server is who it was: the fingerprint of its key has to be one that a person has named. Nothing
else is sent to another. Of the environment and of the files of the ssh program nothing is used: a
connection of an unattended program is what its settings say.
"""

import contextlib
import io
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Final

import paramiko

from epmstore.errors import RemoteDeniedError, RemoteTransientError
from epmstore.remotes.place import SftpAddress
from epmstore.remotes.sftp_channel import SftpChannel
from epmstore.remotes.sftp_errors import BROKEN, translated

SECONDS: Final = 20.0
"""For each step of connecting, and for each answer."""
IDLE_MAX: Final = 4
_LOG: Final = "epmstore.sftp"
_KEY_TYPES: Final = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)
_KEYS: Final[tuple[type[paramiko.PKey], ...]] = (
    paramiko.Ed25519Key,
    paramiko.ECDSAKey,
    paramiko.RSAKey,
)


class SftpConnections:
    """Connections to one server as one user. `secret` gives a private key, or a password, when it
    is needed.
    """

    def __init__(
        self,
        address: SftpAddress,
        host_keys: tuple[str, ...],
        secret: Callable[[], bytes],
        seconds: float = SECONDS,
    ) -> None:
        self.where = f"sftp://{address.host}:{address.port}"
        self._address = address
        self._host_keys = host_keys
        self._secret = secret
        self._seconds = seconds
        self._idle: list[SftpChannel] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            for channel in self._idle:
                _end(channel)
            self._idle.clear()

    @contextlib.contextmanager
    def channel(self, what: str) -> Iterator[SftpChannel]:
        """A channel of the caller's own, for the block. Raises the errors of a remote."""
        with translated(what, self.where):
            with self._lock:
                channel = self._idle.pop() if self._idle else None
            if channel is None:
                channel = self._connected()
            try:
                yield channel
            except BROKEN:
                _end(channel)
                raise
            except (Exception, GeneratorExit):
                self._put_back(channel)
                raise
            except BaseException:  # interrupted, perhaps in the middle of an answer
                _end(channel)
                raise
            self._put_back(channel)

    def _put_back(self, channel: SftpChannel) -> None:
        with self._lock:
            if len(self._idle) < IDLE_MAX:
                self._idle.append(channel)
                return
        _end(channel)

    def _connected(self) -> SftpChannel:
        """Raises RemoteDeniedError, and what `translated` knows."""
        try:
            return self._try(None)
        except _OtherKeyError as error:
            refused = self._other_key(error.fingerprint)
        for kinds in _KEY_TYPES if self._host_keys else ():  # it may have the right one, too
            with contextlib.suppress(_OtherKeyError, paramiko.ssh_exception.IncompatiblePeer):
                return self._try(kinds)
        raise refused

    def _try(self, kinds: tuple[str, ...] | None) -> SftpChannel:
        place = (self._address.host, self._address.port)
        link = socket.create_connection(place, self._seconds)
        transport = paramiko.Transport(link)
        transport.set_log_channel(_LOG)
        transport.logger.disabled = True  # what goes wrong is raised
        transport.banner_timeout = transport.auth_timeout = self._seconds
        if kinds is not None:
            transport.get_security_options().key_types = kinds
        # some waits of the library have no end: the transport is closed under them
        limit = threading.Timer(3 * self._seconds, transport.close)
        limit.daemon = True
        limit.start()
        try:
            transport.start_client(timeout=self._seconds)
            key = transport.get_remote_server_key()
            if key.fingerprint not in self._host_keys:
                raise _OtherKeyError(key.fingerprint)
            self._authenticate(transport)
            session = transport.open_session(timeout=self._seconds)
            session.settimeout(self._seconds)
            session.invoke_subsystem("sftp")
            return SftpChannel(session)
        except BaseException:
            transport.close()
            raise
        finally:
            limit.cancel()

    def _authenticate(self, transport: paramiko.Transport) -> None:
        user, secret = self._address.user, self._secret()
        key = _private_key(secret)
        try:
            if key is not None:
                left = transport.auth_publickey(user, key)
            else:
                password = secret.decode("utf-8", "surrogateescape").splitlines()[0]
                left = transport.auth_password(user, password, fallback=False)
        except paramiko.AuthenticationException as error:
            if not transport.is_active() or "timeout" in str(error):
                raise RemoteTransientError(f"{self.where}: {error}") from None
            left = ["something else"]
        if left:
            shown = "password" if key is None else f"key {key.fingerprint}"
            raise RemoteDeniedError(
                f"{self.where} does not accept the {shown} of {user}",
                hint="is the key in ~/.ssh/authorized_keys of that user there?",
            )

    def _other_key(self, fingerprint: str) -> RemoteDeniedError:
        if not self._host_keys:
            return RemoteDeniedError(
                f"{self.where} has the key {fingerprint}, and it was not said that this is right",
                hint="on that host, `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` (or _ecdsa_,"
                f" _rsa_) says what it is; if it is the same: --host-key {fingerprint}",
                fingerprint=fingerprint,
            )
        return RemoteDeniedError(
            f"{self.where} has the key {fingerprint}, which is not the one that it had: it may be"
            " another host, and nothing was sent to it",
            hint="ask who runs it; if it got another key: `epmstore remote set NAME --host-key"
            f" {fingerprint}`",
            fingerprint=fingerprint,
        )


class _OtherKeyError(Exception):
    """A server has a key that is not among those that were named."""

    def __init__(self, fingerprint: str) -> None:
        super().__init__(fingerprint)
        self.fingerprint = fingerprint


def _end(channel: SftpChannel) -> None:
    """The library waits for a thread of its own to end."""
    channel.sock.get_transport().close()


def _private_key(secret: bytes) -> paramiko.PKey | None:
    """None if it is a password. Raises RemoteDeniedError for a key that cannot be used."""
    if not secret.lstrip().startswith(b"-----BEGIN"):
        return None
    for kind in _KEYS:
        try:
            return kind.from_private_key(io.StringIO(secret.decode("ascii", "replace")))
        except paramiko.PasswordRequiredException:
            raise RemoteDeniedError(
                "the private key has a passphrase, which nobody is there to type",
                hint="make one without, for this alone: ssh-keygen -t ed25519 -N ''",
            ) from None
        except (paramiko.SSHException, ValueError, IndexError):
            continue
    raise RemoteDeniedError(
        "the private key is none that can be used",
        hint="make one: ssh-keygen -t ed25519 -N ''",
    )
