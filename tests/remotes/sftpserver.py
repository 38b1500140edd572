"""SFTP servers on loopback: one of our own with faults, and OpenSSH's where it is installed."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED
from paramiko.sftp import (
    SFTP_FAILURE,
    SFTP_OK,
    SFTP_OP_UNSUPPORTED,
    SFTP_PERMISSION_DENIED,
)

from epmstore.remotes.place import RemotePlace
from epmstore.remotes.sftp_remote import SftpRemote

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
PASSWORD = "geheim-17"
HOST_KEY = paramiko.ECDSAKey.generate()


class SftpFaults(msgspec.Struct, frozen=True):
    """What goes wrong. `no_rename`: without posix-rename. `stuck`: what was just made cannot be
    renamed. `keeps`: so many bytes of each file, and
    says that all are. `denied`, `full`: nothing can be written. `cut`: hangs up after so many reads
    and writes; `silent`: says nothing any more after so many.
    """

    no_rename: bool = False
    stuck: bool = False
    keeps: int | None = None
    denied: bool = False
    full: bool = False
    cut: int | None = None
    silent: int | None = None
    listing: tuple[str, ...] = ()
    password: str = PASSWORD


NO_FAULTS: Final = SftpFaults()


class SftpServing:
    """Where a server is, what it was asked, and what goes wrong there from now on. `silent` is set
    when it says nothing any more.
    """

    def __init__(self, faults: SftpFaults) -> None:
        self.place = RemotePlace(url="")
        self.faults = faults
        self.calls: list[str] = []
        self.silent = threading.Event()
        self.ended = threading.Event()


def _status(error: OSError) -> Any:
    return paramiko.SFTPServer.convert_errno(error.errno or 0)


def _answer(call: Callable[[], Any]) -> Any:
    try:
        found = call()
    except OSError as error:
        return _status(error)
    return SFTP_OK if found is None else found


class _Handle(paramiko.SFTPHandle):
    def __init__(self, shop: "_Files", file: Any, flags: int) -> None:
        super().__init__(flags)
        self.shop, self.file = shop, file

    def close(self) -> None:
        self.file.close()

    def stat(self) -> Any:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self.file.fileno()))

    def read(self, offset: int, length: int) -> Any:
        self.shop.count("read")
        return os.pread(self.file.fileno(), length, offset)

    def write(self, offset: int, data: Any) -> Any:
        self.shop.count("write")
        faults = self.shop.faults
        if faults.full:
            return SFTP_FAILURE
        if faults.keeps is not None:
            data = data[: max(0, faults.keeps - offset)]
        os.pwrite(self.file.fileno(), data, offset)
        return SFTP_OK


class _Files(paramiko.SFTPServerInterface):
    """Files of this host, by their paths."""

    def __init__(self, server: Any, serving: SftpServing) -> None:
        self.faults, self.calls, self.serving = serving.faults, serving.calls, serving
        self.hang_up = server.transport.close
        self.counted = 0
        self.made = ""

    def count(self, call: str) -> None:
        self.calls.append(call)
        self.counted += 1
        if self.faults.silent is not None and self.counted > self.faults.silent:
            self.serving.silent.set()
            self.serving.ended.wait(20)
        if self.faults.cut is not None and self.counted > self.faults.cut:
            self.hang_up()

    def open(self, path: str, flags: int, attr: Any) -> Any:
        self.calls.append("open")
        if self.faults.denied and flags & os.O_WRONLY:
            return SFTP_PERMISSION_DENIED
        mode = "wb" if flags & os.O_WRONLY else "rb"
        self.made = path if flags & os.O_WRONLY else self.made

        def opened() -> _Handle:
            return _Handle(self, os.fdopen(os.open(path, flags, 0o666), mode), flags)

        return _answer(opened)

    def list_folder(self, path: str) -> Any:
        self.calls.append("list")

        def listed() -> list[Any]:
            names = [(name, os.lstat(f"{path}/{name}")) for name in os.listdir(path)]
            names += [(name, os.lstat(__file__)) for name in self.faults.listing]
            return [paramiko.SFTPAttributes.from_stat(found, name) for name, found in names]

        return _answer(listed)

    def stat(self, path: str) -> Any:
        return _answer(lambda: paramiko.SFTPAttributes.from_stat(os.stat(path)))

    def lstat(self, path: str) -> Any:
        self.calls.append("lstat")
        return _answer(lambda: paramiko.SFTPAttributes.from_stat(os.lstat(path)))

    def remove(self, path: str) -> Any:
        self.calls.append("remove")
        return _answer(lambda: os.unlink(path))

    def rename(self, oldpath: str, newpath: str) -> Any:
        self.calls.append("rename")
        if os.path.lexists(newpath) or (self.faults.stuck and oldpath == self.made):
            return SFTP_FAILURE
        return _answer(lambda: os.rename(oldpath, newpath))

    def posix_rename(self, oldpath: str, newpath: str) -> Any:
        self.calls.append("posix-rename")
        if self.faults.no_rename:
            return SFTP_OP_UNSUPPORTED
        return _answer(lambda: os.rename(oldpath, newpath))

    def mkdir(self, path: str, attr: Any) -> Any:
        if self.faults.denied:
            return SFTP_PERMISSION_DENIED
        return _answer(lambda: os.mkdir(path))


class _Door(paramiko.ServerInterface):
    def __init__(self, serving: SftpServing, transport: Any) -> None:
        self.serving, self.calls, self.transport = serving, serving.calls, transport

    def check_auth_password(self, username: str, password: str) -> int:
        self.calls.append("password")
        return AUTH_SUCCESSFUL if password == self.serving.faults.password else AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED


@contextlib.contextmanager
def serving(
    folder: Path, faults: SftpFaults = NO_FAULTS, key: paramiko.PKey = HOST_KEY
) -> Iterator[SftpServing]:
    """A server of the files of this host, the depot in `folder`; it ends with the block."""
    found = SftpServing(faults)
    transports: list[paramiko.Transport] = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    link, _ = listener.accept()
                except OSError:
                    return
                transport = paramiko.Transport(link)
                transports.append(transport)
                transport.set_log_channel("tests.sftp")
                transport.logger.disabled = True
                transport.add_server_key(key)
                transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _Files, found)
                with contextlib.suppress(paramiko.SSHException, EOFError):
                    transport.start_server(threading.Event(), _Door(found, transport))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        secret = folder.parent / f"{folder.name}.secret"
        secret.write_text(f"{PASSWORD}\n")
        secret.chmod(0o600)
        url = f"sftp://epm@127.0.0.1:{listener.getsockname()[1]}{folder}"
        found.place = RemotePlace(url=url, credentials=str(secret), host_keys=(key.fingerprint,))
        try:
            yield found
        finally:
            found.ended.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for transport in transports:
                transport.close()


@contextlib.contextmanager
def sshd(folder: Path, *options: str) -> Iterator[RemotePlace]:
    """OpenSSH's server for the user who runs this, with a depot in `folder`."""
    assert SSHD is not None
    scratch = folder.parent / f"{folder.name}.sshd"
    scratch.mkdir()
    for name, kind in (("host", "ed25519"), ("rsa", "rsa"), ("client", "ed25519")):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", scratch / name], check=True
        )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it locks itself in
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = (
        f"ListenAddress 127.0.0.1:{port}", f"HostKey {scratch}/host", f"HostKey {scratch}/rsa",
        "PidFile none", f"AuthorizedKeysFile {scratch}/client.pub", "StrictModes no", "UsePAM no",
        "PasswordAuthentication no", "PermitRootLogin yes", "Subsystem sftp internal-sftp",
        "ForceCommand internal-sftp", "LogLevel ERROR", *options,
    )  # fmt: skip
    (scratch / "conf").write_text("\n".join(settings) + "\n")
    command = [SSHD, "-D", "-e", "-f", str(scratch / "conf")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            _await(port, process)
            yield RemotePlace(
                url=f"sftp://{getpass.getuser()}@127.0.0.1:{port}{folder}",
                credentials=str(scratch / "client"),
                host_keys=(fingerprint(scratch / "host.pub"),),
            )
        finally:
            process.terminate()


def fingerprint(path: Path) -> str:
    done = subprocess.run(["ssh-keygen", "-lf", path], capture_output=True, text=True, check=True)
    return done.stdout.split()[1]


def remote_of(place: RemotePlace, **more: Any) -> SftpRemote:
    return SftpRemote(place, lambda: Path(place.credentials or "").read_bytes(), **more)


def _await(port: int, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
    raise AssertionError("sshd does not start")
