"""Static web servers on loopback: one of our own with faults, and nginx where it is installed."""

import contextlib
import getpass
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

from epmstore.remotes.web_remote import WebRemote

TLS = Path(__file__).parents[1] / "fixtures/tls"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
Answer: TypeAlias = "Callable[[Handler], bool]"
"""What a server says instead; whether it has said it."""


class Handler(SimpleHTTPRequestHandler):
    """Files below a folder. Without `ranges` it gives all of a file, whatever part is asked for."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, *args: Any, answer: Answer, ranges: bool, **more: Any) -> None:
        self._answer = answer
        self._ranges = ranges
        super().__init__(*args, **more)

    def do_GET(self) -> None:
        if self._answer(self):
            return
        asked = self.headers.get("Range", "") if self._ranges else ""
        path = Path(self.translate_path(self.path))
        if asked and path.is_file():
            self._part(path.read_bytes(), *asked.removeprefix("bytes=").split("-"))
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        if not self._answer(self):
            super().do_HEAD()

    def _part(self, data: bytes, first: str, last: str) -> None:
        start, end = int(first), int(last) + 1 if last else len(data)
        if start >= len(data):
            self.say(416, {"Content-Range": f"bytes */{len(data)}"})
        else:
            end = min(end, len(data))
            said = f"bytes {start}-{end - 1}/{len(data)}"
            self.say(206, {"Content-Range": said}, data[start:end])

    def say(self, status: int, headers: dict[str, str], data: bytes = b"") -> bool:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        return True

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what is tested."""


@contextlib.contextmanager
def serving(
    folder: Path,
    answer: Answer = lambda handler: False,
    *,
    ranges: bool = True,
    certificate: str | None = None,
) -> Iterator[str]:
    """The URL of a server of what is in a folder."""
    handler = partial(Handler, answer=answer, ranges=ranges, directory=str(folder))
    with Server(("127.0.0.1", 0), handler) as server:
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(TLS / certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"{scheme}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def asking(url: str, **more: Any) -> Iterator[WebRemote]:
    with contextlib.closing(WebRemote(url, **more)) as remote:
        yield remote


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[str]:
    """The URL of a real one, of what is in a folder; it ends with the block."""
    assert NGINX is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    scratch = folder / "nginx"
    scratch.mkdir()
    places = "\n".join(
        f"{kind}_temp_path {scratch}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    (scratch / "conf").write_text(
        f"daemon off; master_process off; pid {scratch}/pid; error_log {scratch}/errors; {user}\n"
        f"events {{}}\nhttp {{ access_log off; gzip on; gzip_types *; gzip_min_length 1;\n{places}"
        f"\nserver {{ listen 127.0.0.1:{port}; root {folder}; }} }}\n"
    )
    command = [
        NGINX,
        "-p",
        str(scratch),
        "-c",
        str(scratch / "conf"),
        "-e",
        str(scratch / "errors"),
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            _await(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _await(port: int, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
    raise AssertionError("nginx does not start")
