"""Where the console is off it costs nothing."""

import subprocess
import sys
from functools import partial

import msgspec
import pytest

from epmstore.config import Config, ConsoleConfig, Layer, merge
from epmstore.errors import UsageError
from epmstore.workspace import Workspace
from epmstored.api.core import NoProofs
from epmstored.console.serving import Console
from epmstored.timing import waiting_settings
from tests.daemon.console.conftest import FakeCore
from tests.kit.daemon import running
from tests.kit.host import Host

LOADED = """
import sys, epmstored.main
print([name for name in sys.modules if name.partition(".")[0] in ("jinja2", "markupsafe")
       or name.startswith("epmstored.console")])
"""


def test_nothing_of_it_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_a_daemon_serves_it_where_it_is_on(host: Host) -> None:
    with running(host.path, EPMSTORE_CONSOLE_LISTEN="127.0.0.1:7410") as daemon:
        daemon.wait_for("nobody can open the console there|the console is at 127.0.0.1:7410")
        assert daemon.stop() == 0


async def test_trouble_with_it_ends_it_and_nothing_else(
    host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Console, "_entrances", lambda console: 1 / 0)
    open_it = partial(Workspace.open, host.path)
    await Console(host.path, FakeCore([]), open_it, Config(), NoProofs()).run()
    assert "the console has ended" in caplog.text and "ZeroDivisionError" in caplog.text


def test_settings_are_of_this_host_and_belong_together() -> None:
    def config(**values: str) -> Config:
        layer = Layer({f"console.{key}": (value, "file") for key, value in values.items()})
        return merge([layer]).config

    assert config(listen="[::1]:7410").console.is_on and not Config().console.is_on
    for wrong in ("0.0.0.0:7410", "7410", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", "host:1"):
        with pytest.raises(UsageError, match="no address of this host alone"):
            config(listen=wrong)
    with pytest.raises(UsageError, match="go together"):
        config(proxy_user="www-data")
    with pytest.raises(UsageError, match="how a browser names a place"):
        config(proxy_user="www-data", proxy_origin="https://Host/path")
    with pytest.raises(UsageError, match="more than 0"):
        config(idle="0s")
    changed = msgspec.structs.replace(Config(), console=ConsoleConfig(idle=60.0))
    assert waiting_settings(Config(), changed) == ("console.idle",)
