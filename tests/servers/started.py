"""Servers that are started on loopback for a test, and end with it. `make servers` prepares them.

`EPM_TEST_SERVERS` names the folder with the programs of those from PyPI, `EPM_TEST_CEPH` one with
the unpacked packages of Ceph (fetch_ceph.sh).
"""

import contextlib
import datetime
import hashlib
import hmac
import os
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

import msgspec
import pytest

from epmstore.remotes.object_keys import AccessKey

BUCKET = "depots"
PROGRAMS = Path(os.environ.get("EPM_TEST_SERVERS", "/nowhere"))
PAUSE = threading.Event()
"""Never set: a server that starts is asked again in a while."""
CEPH = Path(os.environ.get("EPM_TEST_CEPH", "/nowhere"))


class Pool(msgspec.Struct, frozen=True):
    """An object store with an empty bucket."""

    endpoint: str
    key: AccessKey


def needs(*names: str) -> None:
    if "EPM_TEST_SERVERS" not in os.environ:
        pytest.skip("needs servers: make servers")
    for name in names:
        assert (PROGRAMS / name).exists(), f"{name} is not in {PROGRAMS}"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextlib.contextmanager
def running(
    *commands: Sequence[str | Path], folder: Path, env: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Programs that run as long as the block. What they say is in `folder`/out."""
    with contextlib.ExitStack() as stack, (folder / "out").open("ab") as out:
        for command in commands:
            process = stack.enter_context(
                subprocess.Popen([*map(str, command)], cwd=folder, env=env, stdout=out, stderr=out)
            )
            stack.callback(process.terminate)
        yield


def answers(endpoint: str) -> None:
    """Wait until a server gives any answer at all."""
    for _ in range(3000):
        try:
            urllib.request.urlopen(endpoint, timeout=20).close()
            return
        except HTTPError as error:
            error.close()
            return
        except (URLError, ConnectionError):
            PAUSE.wait(0.02)
    raise AssertionError(f"{endpoint} does not start")


def make_bucket(pool: Pool) -> None:
    """One signed PUT."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    nothing = hashlib.sha256(b"").hexdigest()
    headers = {
        "host": urlsplit(pool.endpoint).netloc, "x-amz-content-sha256": nothing, "x-amz-date": now,
    }  # fmt: skip
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = f"PUT\n/{BUCKET}\n\n{lines}\n{names}\n{nothing}"
    scope = f"{now[:8]}/us-east-1/s3/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    secret = f"AWS4{pool.key.secret}".encode()
    for part in scope.split("/"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{digest}".encode()
    signature = hmac.new(secret, text, "sha256").hexdigest()
    said = f"Credential={pool.key.name}/{scope}, SignedHeaders={names}, Signature={signature}"
    headers["Authorization"] = f"AWS4-HMAC-SHA256 {said}"
    put = urllib.request.Request(f"{pool.endpoint}/{BUCKET}", method="PUT", headers=headers)
    for _ in range(500):
        try:
            urllib.request.urlopen(put, timeout=60).close()
            return
        except HTTPError as error:
            error.close()
            if error.code != 503:  # what is behind it is not there yet
                raise
            PAUSE.wait(0.02)
    raise AssertionError("it stays unavailable")


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[Pool]:
    needs("moto_server")
    port = free_port()
    pool = Pool(f"http://127.0.0.1:{port}", AccessKey("AK", "SK"))
    with running([PROGRAMS / "moto_server", "-H", "127.0.0.1", "-p", str(port)], folder=folder):
        answers(pool.endpoint)
        make_bucket(pool)
        yield pool


@contextlib.contextmanager
def rclone_s3(folder: Path) -> Iterator[Pool]:
    """Ignores conditions without saying so, and gives no parts."""
    needs("rclone")
    port = free_port()
    (folder / "data" / BUCKET).mkdir(parents=True)
    pool = Pool(f"http://127.0.0.1:{port}", AccessKey("AK", "SK"))
    command: list[str | Path] = [
        PROGRAMS / "rclone",
        "serve",
        "s3",
        "--addr",
        f"127.0.0.1:{port}",
        folder / "data",
    ]
    with running(command, folder=folder, env={"HOME": str(folder), "PATH": os.environ["PATH"]}):
        answers(pool.endpoint)
        yield pool


@contextlib.contextmanager
def rclone_sftp(folder: Path, depots: Path, password: str) -> Iterator[int]:
    """The port of an SFTP server of what is in `depots`, which has no fsync."""
    needs("rclone")
    port = free_port()
    command: list[str | Path] = [
        PROGRAMS / "rclone", "serve", "sftp", "--addr", f"127.0.0.1:{port}", "--user", "epm",
        "--pass", password, depots,
    ]  # fmt: skip
    environ = {"HOME": str(folder), "PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(folder)}
    with running(command, folder=folder, env=environ):
        for _ in range(500):
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            PAUSE.wait(0.02)
        yield port
