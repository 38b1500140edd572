"""What explains a version: log beside a reference catalog."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epmstore.record.recorder import Intent, Recorder
from epmstore.record.root import open_root
from epmstore.workspace import Workspace
from tests.cli.test_json import check
from tests.cli.test_verify import RELEASES, root, text, write

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

__all__ = ["root"]  # a fixture


def explanation(cli: "Cli", version: int = -1) -> dict[str, Any]:
    shapes = cli.ok("log", "--all", "--json").shapes[::-1]
    check(shapes[version])
    check(shapes[version]["explanation"], "Explanation")
    found: dict[str, Any] = shapes[version]["explanation"]
    return found


def last_line(cli: "Cli") -> str:
    return cli.ok("log").out.splitlines()[0]


def install(root: Path, release: int, *, only: set[str] | None = None) -> None:
    """What an installer does: write everything anew, and remove what is not there any more."""
    for path in set().union(*RELEASES) - RELEASES[release].keys():
        if only is None and (root / path).exists():
            (root / path).unlink()
    write(root, {p: d for p, d in RELEASES[release].items() if only is None or p in only})


def test_the_first_version_is_a_release(cli: "Cli", root: Path) -> None:
    found = explanation(cli)
    assert (found["kind"], found["from"], found["to"], found["rest"]) == ("install", None, 2, 0)
    assert last_line(cli).endswith("as delivered (release 1.2 (2))")
    assert cli.ok("log", "--unexplained").out == ""


def test_an_upgrade_is_one_version_with_both_releases(cli: "Cli", root: Path) -> None:
    install(root, 0)
    cli.ok("snapshot", "-m", "down")
    found = explanation(cli)
    assert (found["kind"], found["from"], found["to"], found["rest"]) == ("downgrade", 2, 0, 0)
    assert (found["partial"], found["done"], found["total"]) == (False, 4, 4)
    shutil.rmtree(root / "doc")
    cli.ok("run", "-m", "up", "--", "cp", "-r", str(root / "bin"), str(root / "lib"))
    assert explanation(cli)["kind"] == "drift"
    shutil.rmtree(root / "lib/bin")
    install(root, 1)
    cli.ok("snapshot", "-m", "up")
    assert last_line(cli).endswith("up (upgrade 1.0 (0) -> 1.1 (1), 1 unexplained)")
    assert explanation(cli)["unexplained"] == ["lib/bin/crmd"]


def test_an_upgrade_that_stopped_half_way_is_partial_and_then_completed(
    cli: "Cli", root: Path
) -> None:
    install(root, 1)
    cli.ok("snapshot")
    write(root, {path: RELEASES[2][path] for path in ("doc/1", "bin/crmd")})
    cli.ok("snapshot", "-m", "power cut")
    found = explanation(cli)
    assert (found["kind"], found["from"], found["to"]) == ("upgrade", 1, 2)
    assert (found["partial"], found["done"], found["total"]) == (True, 2, 4)
    assert last_line(cli).endswith("power cut (partial upgrade 1.1 (1) -> 1.2 (2): 2 of 4 files)")
    install(root, 2)
    cli.ok("snapshot", "-m", "again")
    assert last_line(cli).endswith("again (upgrade 1.1 (1) -> 1.2 (2) completed)")


def test_log_unexplained_lists_versions_and_exits_with_1(cli: "Cli", root: Path) -> None:
    (root / "bin/crmd").write_bytes(text("tampered"))
    (root / "lib/b.so").chmod(0o666)
    cli.ok("snapshot")
    found = cli("log", "--unexplained")
    assert found.code == 1
    assert found.out.splitlines()[0].endswith("snapshot (2 files unexplained)")
    assert [line.strip() for line in found.out.splitlines()[1:]] == ["bin/crmd", "lib/b.so"]
    cli.ok("rollback")
    assert explanation(cli)["kind"] == "rollback"
    assert explanation(cli)["rest"] == 0
    (root / "bin/crmd").unlink()
    cli.ok("snapshot")
    assert explanation(cli)["rest"] == 1
    write(root, {"bin/crmd": RELEASES[2]["bin/crmd"]})
    cli.ok("snapshot")
    assert last_line(cli).endswith("(1 file as in release 1.2 (2))")


def test_an_installer_that_writes_the_same_again_explains_itself(cli: "Cli", root: Path) -> None:
    install(root, 2)
    (root / "bin/crmd").touch()
    cli.ok("snapshot")
    assert explanation(cli)["rest"] == 0


def test_the_same_with_or_without_what_was_derived_before(cli: "Cli", root: Path) -> None:
    for release in (0, 1, 2, 1):
        install(root, release)
        cli.ok("snapshot")
    first = cli.ok("log", "--json").out
    assert cli.ok("log", "--json").out == first
    [cache] = (cli.store / "live").glob("*.explained")
    cache.write_bytes(cache.read_bytes()[:-1] + b"?")
    assert cli.ok("log", "--json").out == first
    cache.unlink()
    assert cli.ok("log", "--json").out == first


def test_without_a_catalog_nothing_is_explained(cli: "Cli", recorded: Path) -> None:
    assert cli.ok("log", "--json").shapes[0]["explanation"] is None


def test_an_upgrade_stays_one_however_much_was_added(cli: "Cli", root: Path) -> None:
    install(root, 0)
    cli.ok("snapshot")
    install(root, 1)
    write(root, {f"own/{number}": b"%d of ours" % number for number in range(20)})
    cli.ok("snapshot", "-m", "up and more")
    found = explanation(cli)
    assert (found["kind"], found["from"], found["to"], found["partial"]) == ("upgrade", 0, 1, False)
    assert found["rest"] == 20


def test_an_upgrade_that_was_seen_in_pieces_is_one_folded_change(cli: "Cli", root: Path) -> None:
    install(root, 1)
    cli.ok("snapshot", "-m", "before")
    with Workspace.open(cli.store) as ws:  # as the daemon records what it observes
        recorder = Recorder(ws._store, ws.apps.get("crm"))
        for paths in ({"bin/crmd"}, {"lib/a.so", "doc/1"}, {"doc/2"}):
            write(root, {path: RELEASES[2][path] for path in paths})
            with open_root(recorder.app) as opened:
                recorder.snapshot(opened, Intent(kind="drift", reason="event"))
    lines = cli.ok("log").out.splitlines()
    assert lines[0].endswith("drift: 3 versions, 2 to 4 (upgrade 1.1 (1) -> 1.2 (2))")
    assert lines[1].endswith("before (downgrade 1.2 (2) -> 1.1 (1))")
    assert cli.ok("log", "--unexplained").out == ""
