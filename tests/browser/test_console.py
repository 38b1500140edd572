"""The console in Chromium, over a real daemon: `make browser`, which makes the pictures, too.

Skipped by name where Chromium is not installed, or Playwright is not in the environment that
EPM_TEST_BROWSER names. Pictures of every page go to the folder `screenshots`, which git ignores.
"""

import contextlib
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from epmstore.workspace import Workspace
from tests.daemon.console.conftest import HOSTILE, LABEL
from tests.kit.daemon import running

PYTHON = os.environ.get("EPM_TEST_BROWSER")
CHROMIUM = shutil.which("chromium")
SHOTS = Path(__file__).resolve().parents[2] / "screenshots"
SECONDS = 600

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (apt install chromium)"),
    pytest.mark.skipif(PYTHON is None, reason="EPM_TEST_BROWSER names no Python with Playwright"),
]

PAGE = """<!doctype html><title>elsewhere</title>
<a id=link href="{base}/apps/crm">look at this</a>
<form id=form method=post action="{base}/leave">
<input name=token value=x><button>win</button></form>
<iframe src="{base}/"></iframe>"""


def grow(store: Path, base: Path) -> None:
    """`crm` with names of every kind, and eleven others in different states."""
    with Workspace.init(store) as workspace:
        for number in range(11):
            root = base / f"app{number}"
            root.mkdir()
            (root / "file").write_text("1\n")
            workspace.apps.add(f"app{number}", root)
            handle = workspace.app(f"app{number}")
            handle.snapshot("as delivered")
            if number % 3 == 0:
                handle.accept()
                (root / "file").write_text("2\n")
            if number % 4 == 0:
                handle.hold("until the audit is over")
        root = base / "crm"
        (root / "bin").mkdir(parents=True)
        workspace.apps.add("crm", root)
        for text, label in ((b"one\ntwo\n", "as delivered"), (b"one\n<b>2</b>\n", LABEL)):
            (root / "bin" / "crmd").write_bytes(text)
            for name in HOSTILE:
                Path(os.fsdecode(os.fsencode(root) + b"/" + name)).write_bytes(text)
            workspace.app("crm").snapshot(label)


@contextlib.contextmanager
def elsewhere(base: str) -> Iterator[str]:
    """A page of others, on another site: `localhost` is not `127.0.0.1` to a browser."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(PAGE.format(base=base).encode())

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.mark.slow
@pytest.mark.timeout(SECONDS)
def test_every_page_is_as_it_should_be(tmp_path: Path) -> None:
    store, port = tmp_path / "store", free_port()
    grow(store, tmp_path)
    shutil.rmtree(SHOTS, ignore_errors=True)
    SHOTS.mkdir()
    base = f"http://127.0.0.1:{port}"
    with (
        running(store, EPMSTORE_CONSOLE_LISTEN=f"127.0.0.1:{port}", EPMSTORE_DAEMON_SETTLE="1s"),
        elsewhere(base) as other,
    ):
        words = [sys.executable, "-m", "epmstore", "console", "--store", str(store)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        plan = {
            "link": done.stdout.strip(),
            "pages": [
                *("/", "/apps/crm", "/apps/app0", "/apps/crm/versions/1"),
                *("/apps/crm/versions/1/file?path=bin/crmd", "/apps/crm/path?path=bin/crmd"),
                *("/search?q=txt", "/search?q=delivered", "/apps/crm/back?to=0"),
            ],
            "shots": str(SHOTS),
            "chromium": CHROMIUM,
            "elsewhere": other,
            "file": str(tmp_path / "crm" / "bin" / "news"),
            "news": "3 versions",
            "patched": str(tmp_path / "crm" / "bin" / "crmd"),
        }
        (tmp_path / "plan").write_text(json.dumps(plan))
        drive = Path(__file__).with_name("drive.py")
        assert PYTHON is not None
        driven = subprocess.run(
            [PYTHON, drive, tmp_path / "plan"], capture_output=True, text=True, timeout=SECONDS
        )
    assert driven.returncode == 0, driven.stderr
    found = json.loads(driven.stdout)
    assert len(found) > 40
    assert [one for one in found if one["wrong"] is not None] == []
