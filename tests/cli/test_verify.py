"""verify, accept, and the deviations that status names, as users see them."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import epmstore
from epmstore.catalog.classes import Patterns
from epmstore.catalog.model import AboutRecord, RevokeRecord
from epmstore.clock import to_rfc3339
from epmstore.digest import identify
from epmstore.refcat.append import ReleaseDraft, publish, say
from epmstore.refcat.releases import Releases
from epmstore.relpath import RelPath
from epmstore.store.commit import commit_fact
from epmstore.store.deposit import Deposit
from epmstore.store.store import Store
from epmstore.tree import Entry
from epmstore.workspace import Workspace
from tests.cli.test_json import check

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def text(seed: str) -> bytes:
    """Long enough to tell where it comes from."""
    return hashlib.sha256(seed.encode()).hexdigest().encode() * 4 + b"\n"


COMMON = {"lib/b.so": text("b"), "etc/crm.conf": b"port = 1\n"}
RELEASES = [
    {**COMMON, "bin/crmd": text("crmd 0"), "lib/a.so": text("a 0")},
    {**COMMON, "bin/crmd": text("crmd 1"), "lib/a.so": text("a 0")},
    {**COMMON, "bin/crmd": text("crmd 2"), "lib/a.so": text("a 2"), "doc/1": text("1"),
     "doc/2": text("2")},
]  # fmt: skip


def publish_all(store: Store, app: str, releases: list[dict[str, bytes]]) -> None:
    """Releases of plain files, numbered from 0 and labelled 1.0, 1.1 ..."""
    patterns = Patterns(config=("etc/",))
    about = AboutRecord(time=to_rfc3339(store.clock.now()), app=app, key="crm", patterns=patterns)
    say(store, app, about)
    first = len(Releases(store, app).all())
    for number, files in enumerate(releases):
        folders = sorted({path.rpartition("/")[0] for path in files} - {""})
        tree = [Entry(path=RelPath(path), kind="directory", mode=0o755) for path in folders]
        tree += [
            Entry(path=RelPath(path), kind="file", mode=0o644, mtime_ns=1, content=identify(data))
            for path, data in files.items()
        ]
        with store.keep_packs():
            label = f"1.{number}" if len(releases) > 1 and first == 0 else None
            with Deposit(store) as deposit:
                publish(deposit, about, tree, ReleaseDraft(label=label))


def write(root: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
        (root / path).chmod(0o644)


@pytest.fixture
def root(cli: "Cli", tmp_path: Path) -> Path:
    """The root of `crm`, at release 2 of 0 to 2, recorded as version 0."""
    root = tmp_path / "crm"
    write(root, RELEASES[2])
    cli.ok("init")
    cli.ok("app", "add", "crm", str(root))
    with Workspace.open(cli.store) as ws:
        publish_all(ws._store, ws.apps.get("crm").uuid, RELEASES)
    cli.ok("snapshot", "-m", "as delivered")
    return root


def findings(cli: "Cli", *args: str) -> dict[str, str]:
    return {s["path"]: s["class"] for s in cli("verify", "--json", *args).shapes[:-1]}


def test_an_untouched_root_has_no_findings(cli: "Cli", root: Path) -> None:
    found = cli.ok("verify")
    assert found.out == f"crm at {root}: 6 of 6 files = release 1.2 (2)\n"
    [summary] = cli.ok("verify", "--json").shapes
    assert (summary["release"], summary["clean"], summary["counts"]["known"]) == (2, True, 6)
    assert cli.ok("status").out.splitlines()[-1] == "everything is as in release 1.2 (2)"


@pytest.mark.parametrize("recorded", [False, True], ids=["live", "recorded"])
def test_each_deviation_is_what_it_is(cli: "Cli", root: Path, recorded: bool) -> None:
    (root / "bin/crmd").write_bytes(text("crmd 1"))
    (root / "lib/a.so").write_bytes(text("tampered"))
    (root / "lib/b.so").rename(root / "lib/c.so")
    (root / "etc/crm.conf").chmod(0o600)
    (root / "new").mkdir()
    (root / "new/file").write_bytes(text("new"))
    if recorded:
        cli.ok("snapshot")
    found = cli("verify")
    assert found.code == 1
    assert found.out.splitlines() == [
        f"crm at {root}: 2 of 7 files = release 1.2 (2)",
        "stale (1): from an older release",
        "  bin/crmd  (release 1.1 (1))",
        "moved (1): belongs to another path, which lacks it",
        "  lib/c.so  (belongs at lib/b.so)",
        "meta (1): right bytes, other metadata",
        "  etc/crm.conf  (config; mode 0600, not 0644)",
        "local (1): bytes that no vendor ever shipped",
        "  lib/a.so",
        "unknown (1): never shipped, neither path nor bytes",
        "  new/file",
    ]
    shapes = cli("verify", "--json").shapes
    for shape in shapes[:-1]:
        check(shape, "Finding")
    check(shapes[-1], "Verified")
    assert shapes[-1]["counts"] == {
        "known": 2, "stale": 1, "ahead": 0, "parallel": 0,
        "foreign": 0, "moved": 1, "meta": 1, "local": 1,
        "unknown": 1, "missing": 0,
    }  # fmt: skip


def test_before_the_first_version_too(cli: "Cli", tmp_path: Path) -> None:
    root = tmp_path / "crm"
    write(root, {**RELEASES[2], "bin/crmd": text("crmd 0")})
    cli.ok("init")
    cli.ok("app", "add", "crm", str(root))
    with Workspace.open(cli.store) as ws:
        publish_all(ws._store, ws.apps.get("crm").uuid, RELEASES)
    assert findings(cli) == {"bin/crmd": "stale"}


@pytest.mark.parametrize("recorded", [False, True], ids=["live", "recorded"])
def test_the_best_release_is_found_and_another_can_be_named(
    cli: "Cli", root: Path, recorded: bool
) -> None:
    write(root, {**RELEASES[1], "lib/b.so": text("mine")})
    shutil.rmtree(root / "doc")
    if recorded:
        cli.ok("snapshot")
    assert findings(cli) == {"lib/b.so": "local"}
    assert cli("verify", "--json").shapes[-1]["release"] == 1
    assert findings(cli, "--release", "0") == {"bin/crmd": "ahead", "lib/b.so": "local"}
    missing = cli("verify", "--release", "7")
    assert missing.code == 5 and "hint:" in missing.err


def test_subset_asks_only_for_strangers(cli: "Cli", root: Path) -> None:
    (root / "bin/crmd").write_bytes(text("crmd 0"))
    (root / "lib/b.so").unlink()
    assert cli("verify").code == 1
    assert cli.ok("verify", "--subset").out.endswith(": a proper subset\n")
    assert cli.ok("verify", "--subset", "--json").shapes[-1]["subset"] == "proper"
    (root / "lib/a.so").write_bytes(text("mine"))
    assert cli("verify", "--subset").code == 1
    assert findings(cli, "--subset") == {"lib/a.so": "local"}
    assert cli("verify", "--subset").out.splitlines()[0].endswith(": no subset")


def test_one_release_is_all_there_is_and_less_of_it_is_a_proper_subset(
    cli: "Cli", recorded: Path
) -> None:
    [app] = cli.ok("app", "show", "crm", "--json").shapes
    cli.ok("release", "init", "crm", "--uuid", app["uuid"])
    cli.ok("release", "add", "crm", "latest")
    assert cli.ok("verify", "--json").shapes[-1]["subset"] == "equal"
    (recorded / "bin/crmd").unlink()
    assert cli.ok("verify", "--subset", "--json").shapes[-1]["subset"] == "proper"


def test_without_a_catalog_there_is_nothing_to_verify(cli: "Cli", recorded: Path) -> None:
    found = cli("verify")
    assert found.code == 5
    assert "no reference catalog" in found.err and "epmstore accept" in found.err


def test_a_tampered_file_does_not_turn_clean_by_being_recorded(cli: "Cli", root: Path) -> None:
    (root / "bin/crmd").write_bytes(text("tampered"))
    cli.ok("snapshot")
    (root / "etc/crm.conf").write_bytes(b"edited")
    cli.ok("snapshot")
    found = cli("status")
    assert found.code == 1
    assert "nothing has changed" in found.out.splitlines()
    assert "not as in release 1.2 (2) (2):" in found.out
    [shape] = cli("status", "--json").shapes
    check(shape)
    assert (shape["clean"], shape["baseline"], shape["release"]) == (True, "release", 2)
    since = {one["path"]: (one["what"], one["since"]) for one in shape["deviations"]}
    assert since == {"bin/crmd": ("local", 1), "etc/crm.conf": ("local", 2)}
    for one in shape["deviations"]:
        check(one, "Deviation")
    assert shape["since"] == shape["deviations"][0]["time"]


def test_accepted_paths_are_right_until_they_change_again(cli: "Cli", root: Path) -> None:
    (root / "etc/crm.conf").write_bytes(b"our port")
    (root / "lib/b.so").unlink()
    cli.ok("snapshot")
    check(cli.ok("accept", "latest", "etc/crm.conf", "-m", "our port", "--json").shapes[0])
    assert cli("verify").code == 1
    cli.ok("accept", "-m", "b is not needed")
    accepted = cli.ok("verify")
    assert "2 findings accepted" in accepted.err
    assert cli.ok("status").out.splitlines()[-1].endswith(", or accepted (2 paths)")
    assert "now: not as in release 1.2 (2), and accepted" in cli.ok("blame", "lib/b.so").out
    assert "now: as in release 1.2 (2)" in cli.ok("blame", "bin/crmd").out
    (root / "etc/crm.conf").write_bytes(b"another port")
    assert cli("status").code == cli("verify").code == 1


def test_accept_is_the_baseline_where_there_is_no_catalog(cli: "Cli", recorded: Path) -> None:
    (recorded / "bin/crmd").write_bytes(b"patched\n")
    cli.ok("snapshot", "-m", "patch")
    cli.ok("status")
    early = cli("accept", "latest", "crm.conf")
    assert early.code == 5 and "accept a whole version first" in early.err
    cli.ok("accept", "0", "-m", "as delivered")
    found = cli("status")
    assert found.code == 1
    assert found.out.splitlines()[-2:] == [
        "not as in the accepted version 0 (1):",
        f"  modified bin/crmd  (since version 1, {found.out.rpartition(', ')[2].strip()}",
    ]
    cli.ok("accept", "latest", "bin/crmd")
    cli.ok("status")
    (recorded / "bin/crmd").write_bytes(b"program 1\n")
    [shape] = cli("status", "--json").shapes
    assert shape["accepted"] == 0
    assert [(d["path"], d["since"]) for d in shape["deviations"]] == [("bin/crmd", None)]


def test_accept_can_be_tried_dry(cli: "Cli", root: Path) -> None:
    assert "would be accepted" in cli.ok("accept", "--dry-run").out
    assert cli("accept", "9").code == 5
    assert cli("accept", "latest", "no/such").code == 5
    swapped = cli("accept", "etc/crm.conf")
    assert swapped.code == 2 and "latest etc/crm.conf" in swapped.err


def test_the_same_with_or_without_what_was_surveyed_before(cli: "Cli", root: Path) -> None:
    (root / "bin/crmd").write_bytes(text("crmd 1"))
    (root / "new").write_bytes(b"new")
    cli.ok("snapshot")
    (root / "lib/a.so").write_bytes(text("a 0"))
    first = cli("verify", "--json").out
    [cache] = (cli.store / "live").glob("*.survey")
    assert cli("verify", "--json").out == first
    cache.write_bytes(cache.read_bytes()[:-1] + b"?")
    assert cli("verify", "--json").out == first
    with Workspace.open(cli.store) as ws:  # a release that explains it better
        app = ws.apps.get("crm").uuid
        newest = {**RELEASES[2], "bin/crmd": text("crmd 1"), "new": b"new"}
        publish_all(ws._store, app, [newest])
    assert cli("verify", "--json").shapes[-1]["release"] == 3


def test_verify_names_withdrawn_releases_and_components(cli: "Cli", root: Path) -> None:
    digest = identify(RELEASES[2]["bin/crmd"]).digest.hex()
    with Workspace.open(cli.store) as ws:
        refcat = Releases.of(ws._store, ws.apps.get("crm")).catalog
        for version, said in ((None, digest), (2, None)):
            time = to_rfc3339(ws._store.clock.now())
            fact = RevokeRecord(time=time, version=version, digest=said, reason="it leaks")
            commit_fact(ws._store, refcat, fact)
    found = cli.ok("verify")
    assert "withdrawn by its vendor:\n  bin/crmd (it leaks)" in found.err
    assert "release 1.2 (2) is withdrawn by its vendor: it leaks" in found.err
    [summary] = cli.ok("verify", "--json").shapes
    assert summary["withdrawn"] == [{"path": "bin/crmd", "why": "it leaks"}]
    (root / "bin/crmd").write_bytes(text("crmd 1"))
    assert cli("verify", "--json").shapes[-1]["withdrawn"] == []


def test_an_application_that_is_removed_leaves_nothing_beside_its_history(
    cli: "Cli", root: Path
) -> None:
    cli("verify")
    cli.ok("log")
    names = {path.suffix for path in (cli.store / "live").iterdir()}
    assert {".survey", ".explained", ".sqlite"} <= names
    cli.ok("app", "remove", "crm", "--yes")
    assert list((cli.store / "live").iterdir()) == []


def test_a_python_application_may_write_its_caches_once_they_are_classified(
    cli: "Cli", tmp_path: Path
) -> None:
    root = tmp_path / "app"
    own = Path(epmstore.__file__).parent
    shutil.copytree(own, root, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    cli.ok("init")
    cli.ok("app", "add", "py", str(root))
    [app] = cli.ok("app", "show", "py", "--json").shapes
    cli.ok("release", "init", "py", "--uuid", app["uuid"])
    cli.ok("release", "add", "py", str(root))
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(root)], check=True)
    cli.ok("snapshot")
    assert {shape["class"] for shape in cli("verify", "--json").shapes[:-1]} == {"unknown"}
    cli.ok("app", "set", "py", "--ignore", "__pycache__/")
    cli.ok("snapshot")
    cli.ok("verify")
