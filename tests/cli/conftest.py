"""The command line as users have it, in this process: words in; exit code and both outputs back."""

import os
from pathlib import Path

import pytest

from epmstore.cli.main import main
from tests.kit.program import Outcome


class Cli:
    """`cli("log", "-n", "5")`, in a store and a working directory of its own."""

    def __init__(self, capfdbinary: pytest.CaptureFixture[bytes], store: Path) -> None:
        self._capture = capfdbinary
        self.store = store

    def __call__(self, *args: str) -> Outcome:
        code = main(list(args))
        out, err = (os.fsdecode(text) for text in self._capture.readouterr())
        assert "Traceback" not in err
        return Outcome(code, out, err)

    def ok(self, *args: str) -> Outcome:
        """A command that must exit with 0."""
        found = self(*args)
        assert found.code == 0, found
        return found


@pytest.fixture
def cli(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Cli:
    """With a store that is not there yet, in an empty directory."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("EPMSTORE_STORE", str(tmp_path / "store"))
    return Cli(capfdbinary, tmp_path / "store")


@pytest.fixture
def crm(cli: Cli, tmp_path: Path) -> Path:
    """The root of an application that is registered as `crm`, with two files and a link."""
    root = tmp_path / "crm"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "crmd").write_bytes(b"program 1\n")
    (root / "crm.conf").write_text("port = 1\n")
    (root / "current").symlink_to("bin")
    cli.ok("init")
    cli.ok("app", "add", "crm", str(root))
    return root


@pytest.fixture
def recorded(cli: Cli, crm: Path) -> Path:
    """The same with a version 0."""
    cli.ok("snapshot", "-m", "as delivered")
    return crm
