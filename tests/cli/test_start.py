"""Starting is quick: what a command does not need is not imported."""

import subprocess
import sys
from pathlib import Path

from epmstore import __version__
from epmstore.workspace import Workspace

FOREIGN = (
    "aiofiles", "asyncio", "cryptography", "hypothesis", "obstore", "paramiko", "rich", "unittest",
    "watchdog",
)  # fmt: skip


def modules_after(*args: str) -> set[str]:
    """What a fresh interpreter has imported once a command is done."""
    script = (
        "import sys\n"
        "from epmstore.cli.main import main\n"
        f"main({list(args)!r})\n"
        "sys.stdout.write('\\n' + ' '.join(sys.modules))\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.splitlines()[-1].split(" "))


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.split(".")[0] == "epmstore"}


def bare() -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(run.stdout.split())


def test_version_imports_next_to_nothing() -> None:
    assert modules_after("--version") - bare() == {"epmstore", "epmstore.cli", "epmstore.cli.main"}


def test_version_is_printed_wherever_it_is_asked_for() -> None:
    for args in (["--version"], ["--json", "--version"]):
        run = subprocess.run(
            [sys.executable, "-m", "epmstore", *args], capture_output=True, text=True, check=True
        )
        assert run.stdout == f"epmstore {__version__}\n"


def test_help_imports_no_command() -> None:
    found = modules_after("--help")
    assert not {name for name in ours(found) if "workspace" in name or "catalog" in name}
    assert not found & {"msgspec", "sqlite3", "zstandard"}


def test_no_command_imports_what_only_others_need() -> None:
    found = modules_after("status")
    assert "epmstore.workspace" in found
    assert not {name.split(".")[0] for name in found} & set(FOREIGN)
    assert not found & {"tarfile", "zipfile"}
    assert not {name for name in ours(found) if name.startswith("epmstore.publish")}
    loaded = {name for name in ours(found) if name.startswith("epmstore.cli.")}
    assert not loaded & {f"epmstore.cli.{n}" for n in ("setup", "record", "blob", "store", "man")}


def test_a_remote_imports_only_what_reaches_it(tmp_path: Path) -> None:
    (tmp_path / "depot").mkdir()
    store = tmp_path / "store"
    Workspace.init(store).close()
    for words in (["add", "site", str(tmp_path / "depot")], ["list"], ["check", "site"]):
        found = modules_after("remote", *words, "--store", str(store))
        assert "epmstore.remotes.folder_remote" in found
        assert not {name.split(".")[0] for name in found} & {"paramiko", "obstore", "cryptography"}


LIGHT = {"goal", "hook_report", "obligations"}
"""Of checkout/: what is said of a checkout, and nothing that does one."""


def test_looking_back_and_status_import_no_checkout_and_no_care(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    store = tmp_path / "store"
    with Workspace.init(store) as ws:
        ws.apps.add("crm", tmp_path / "root")
        ws.app("crm").snapshot()
    for words in (["log"], ["ls"], ["status"]):
        found = ours(modules_after(*words, "--store", str(store), "--app", "crm"))
        checkout = {n.removeprefix("epmstore.checkout.") for n in found if ".checkout." in n}
        assert checkout <= LIGHT, words
        care = {name for name in found if ".care." in name}
        assert care <= {"epmstore.care.references"}, words
    assert "epmstore.record.recorder" in found, "or else nothing was looked at"
