"""Installing, upgrading and uninstalling, as an operator does it."""

import errno
import os
import pwd
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from epmstore import locks
from epmstore.catalog.model import RevokeRecord
from epmstore.refcat.append import say
from epmstore.refcat.trust import Trust
from epmstore.store.deposit import Deposit
from tests.cli.test_json import check
from tests.kit.products import LIB, V1, V2, Products, files_in

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


pytestmark = pytest.mark.slow


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the packages of `crm` propose to live; not there yet."""
    return tmp_path / "opt" / "crm"


@pytest.fixture
def crm(tmp_path: Path) -> Products:
    return Products(tmp_path / "crm-vendor")


@pytest.fixture
def old(cli: "Cli", crm: Products, root: Path) -> Path:
    """The package of 4.0.0; there is a store."""
    cli.ok("init")
    return crm.pack(V1, "4.0.0", root=str(root))


@pytest.fixture
def new(crm: Products, old: Path, root: Path) -> Path:
    return crm.pack(V2, "4.1.0", root=str(root))


def installed(cli: "Cli") -> list[tuple[str, str | None, int]]:
    shapes = cli.ok("installed", "--json").shapes
    return [(one["app"], one["is"]["version"], one["is"]["release"]) for one in shapes]


def store_files(cli: "Cli") -> dict[str, bytes]:
    """Of the store, all but caches."""
    return {
        path: data
        for path, data in files_in(cli.store).items()
        if not path.startswith(("index.sqlite", "live/", "locks/", "clock.json", "care.json"))
    }


def test_a_file_becomes_an_application(cli: "Cli", old: Path, root: Path) -> None:
    solution, result = cli.ok("install", str(old), "--json").shapes
    for shape in (solution, result):
        check(shape)
    assert files_in(root) == V1
    assert root.stat().st_mode & 0o777 == 0o755
    assert result["action"] == "install" and result["label"] == "install crm 4.0.0-1 (0)"
    assert installed(cli) == [("crm", "4.0.0", 0)]
    assert cli.ok("installed").out == "crm  crm  4.0.0-1 (0)\n"
    [shown] = cli.ok("app", "show", "crm", "--json").shapes
    assert shown["config"] == ["etc/"] and shown["state"] == ["data/"]
    assert cli.ok("verify").code == 0
    [version] = cli.ok("log", "-n", "1", "--json").shapes
    assert (version["reason"], version["operation"]) == ("checkout", "install")
    cli.ok("rollback", "--yes")
    assert files_in(root) == {} and installed(cli) == []


def test_a_dry_run_says_what_the_run_does_and_leaves_nothing(
    cli: "Cli", old: Path, root: Path
) -> None:
    before = store_files(cli)
    solution, plan = cli.ok("install", str(old), "--dry-run", "--json").shapes
    for shape in (solution, plan):
        check(shape)
    assert store_files(cli) == before and not root.exists() and not root.parent.exists()
    assert not [*(cli.store / "scratch").iterdir()]
    again, result = cli.ok("install", str(old), "--json").shapes
    assert solution["steps"] == again["steps"]
    counts = ("added", "modified", "removed", "kept", "from")
    assert [plan[key] for key in counts] == [result[key] for key in counts]


def test_undo_brings_back_root_and_what_is_installed(
    cli: "Cli", old: Path, new: Path, root: Path
) -> None:
    cli.ok("install", str(old))
    cli.ok("upgrade", str(new))
    assert files_in(root) == V2 and installed(cli) == [("crm", "4.1.0", 1)]
    cli.ok("undo")
    assert files_in(root) == V1 and installed(cli) == [("crm", "4.0.0", 0)]
    cli.ok("redo")
    assert files_in(root) == V2 and installed(cli) == [("crm", "4.1.0", 1)]
    cli.ok("uninstall", "crm")
    assert files_in(root) == {} and installed(cli) == []
    cli.ok("undo")
    assert files_in(root) == V2 and installed(cli) == [("crm", "4.1.0", 1)]
    cli.ok("undo")
    cli.ok("undo")
    assert files_in(root) == {} and installed(cli) == []


def test_a_version_brings_its_set_back(cli: "Cli", old: Path, new: Path, root: Path) -> None:
    cli.ok("install", str(old))
    cli.ok("install", str(new))
    cli.ok("rollback")
    assert files_in(root) == V1 and installed(cli) == [("crm", "4.0.0", 0)]
    cli.ok("checkout", "2")
    assert files_in(root) == V2 and installed(cli) == [("crm", "4.1.0", 1)]
    cli.ok("checkout", "release:0")
    assert files_in(root) == V1 and installed(cli) == [("crm", "4.0.0", 0)]
    cli.ok("checkout", "0")
    assert files_in(root) == {} and installed(cli) == []


def test_an_upgrade_keeps_what_was_changed_here(
    cli: "Cli", old: Path, new: Path, root: Path
) -> None:
    cli.ok("install", str(old))
    edits = {
        "bin/same": b"ours\n",
        "etc/crm.conf": b"port = 1\n",
        "lib/libcrm.so": b"our library\n",
        "share/gone": b"ours\n",
        "data/db": b"rows\n",
        "notes.txt": b"added here\n",
    }
    for path, data in edits.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_bytes(data)
    _, plan = cli.ok("upgrade", str(new), "--dry-run", "--json").shapes
    _, result = cli.ok("upgrade", str(new), "--json").shapes
    assert set(plan["kept"]) == set(result["kept"]) == {"bin/same", "etc/crm.conf", "share/gone"}
    found = files_in(root)
    assert found == {**V2, **edits, "lib/libcrm.so": V2["lib/libcrm.so"]}
    notes = cli.ok("notes", "--json").shapes
    for note in notes:
        check(note)
    assert [(one["what"], one["path"]) for one in notes] == [
        ("kept-config", "etc/crm.conf"),
        ("replaced", "lib/libcrm.so"),
        ("kept-file", "share/gone"),
    ]
    assert cli.ok("cat", notes[1]["before"]).out == "our library\n"
    assert cli.ok("cat", notes[0]["theirs"]).out == "port = 8081\n"
    cli.ok("notes", "ack", "1", "3")
    assert [one["number"] for one in cli.ok("notes", "--json").shapes] == [2]
    assert len(cli.ok("notes", "--all", "--json").shapes) == 3
    cli.ok("undo")
    assert cli.ok("notes", "--json").shapes == []
    assert cli("notes", "ack", "9").code == 5


def test_an_older_release_needs_a_word(cli: "Cli", old: Path, new: Path, root: Path) -> None:
    cli.ok("install", str(new))
    for args in (["crm=4.0.0"], ["crm=release:0"], [str(old)]):
        refused = cli("install", *args)
        assert refused.code == 7 and "--downgrade" in refused.err
        assert cli("install", *args, "--dry-run").code == 7
    assert files_in(root) == V2
    cli.ok("install", "crm=4.0.0", "--downgrade")
    assert files_in(root) == V1 and installed(cli) == [("crm", "4.0.0", 0)]


def test_a_frozen_product_stays(cli: "Cli", old: Path, new: Path, root: Path) -> None:
    cli.ok("install", str(old))
    [frozen] = cli.ok("freeze", "crm", "--reason", "audit", "--json").shapes
    check(frozen)
    for args in (["upgrade", str(new)], ["upgrade", "crm"], ["uninstall", "crm"]):
        refused = cli(*args)
        assert refused.code == 7 and "epmstore unfreeze crm" in refused.err
    shown = cli.ok("upgrade", "--all")
    assert "frozen" in shown.err and files_in(root) == V1
    assert cli.ok("installed").out == "crm  crm  4.0.0-1 (0) [frozen]\n"
    cli.ok("unfreeze", "crm")
    cli.ok("upgrade", "--all")
    assert files_in(root) == V2


def test_a_withdrawn_release_is_no_candidate(
    cli: "Cli", crm: Products, old: Path, new: Path, tmp_path: Path
) -> None:
    cli.ok("install", str(old))
    cli.ok("catalog", "import", str(new))
    with crm.vendor.open() as ws:
        say(ws._store, crm.app, RevokeRecord(time=crm.vendor.about.time, version=1, reason="eats"))
        lines = b"".join(ws.catalogs.export("crm"))
    (tmp_path / "crm.refcat").write_bytes(lines)
    cli.ok("catalog", "import", str(tmp_path / "crm.refcat"))
    assert "nothing to do" in cli.ok("upgrade", "crm").out
    refused = cli("upgrade", "crm=4.1.0")
    assert refused.code == 7 and "eats" in refused.err and "--revoked" in refused.err
    cli.ok("upgrade", "crm=4.1.0", "--revoked")
    assert "[withdrawn: eats]" in cli.ok("installed").out


def test_uninstalling_keeps_what_is_not_the_vendors(cli: "Cli", old: Path, root: Path) -> None:
    cli.ok("install", str(old))
    ours = {"etc/crm.conf": b"port = 1\n", "bin/same": b"ours\n", "data/db": b"rows", "add": b"a"}
    for path, data in ours.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_bytes(data)
    _, plan = cli.ok("uninstall", "crm", "--dry-run", "--json").shapes
    check(plan)
    assert "etc/crm.conf (configuration that" in cli.ok("uninstall", "crm", "--dry-run").err
    _, result = cli.ok("uninstall", "crm", "--json").shapes
    check(result)
    assert files_in(root) == ours and not (root / "lib").exists()
    assert set(plan["kept"]) == set(result["kept"]) == {"etc/crm.conf", "bin/same"}
    assert cli.ok("cat", f"{result['safety']}:bin/same").out == "ours\n"
    assert cli.ok("app", "list").out.startswith("crm")
    cli.ok("undo")
    assert files_in(root) == {**V1, **ours}


def test_an_application_with_hooks_is_stopped_before_its_product_goes(
    cli: "Cli", old: Path, root: Path
) -> None:
    cli.ok("install", str(old))
    there = f"test -e {root}/bin/crmd"
    cli.ok("app", "set", "crm", "--stop", there, "--start", there, "--health", there)
    told = cli.ok("uninstall", "crm", "--dry-run").out
    assert "stop: " in told and "start: " not in told and "health: " not in told
    planned = next(
        s for s in cli.ok("uninstall", "crm", "--dry-run", "--json").shapes if "hooks" in s
    )
    assert [hook for hook, words in planned["hooks"].items() if words] == ["stop"]
    _, result = cli.ok("uninstall", "crm", "--json", "--yes").shapes
    check(result)
    assert [run["hook"] for run in result["hooks"]] == ["stop"], "nothing is left to start"
    assert not files_in(root)
    assert cli.ok("status").code == 0, "nothing is owed any more"
    cli.ok("app", "set", "crm", "--stop", "true")
    back = cli.ok("undo", "--json").shapes[-1]
    assert [run["hook"] for run in back["hooks"]] == ["stop", "start", "health"]
    cli.ok("redo")
    assert not files_in(root)


def test_status_does_not_miss_an_uninstalled_product(cli: "Cli", old: Path, root: Path) -> None:
    cli.ok("install", str(old))
    cli.ok("uninstall", "crm")
    found = cli.ok("status", "--json").shapes[0]
    assert (found["baseline"], found["deviations"]) == ("version", [])
    verified = cli.ok("verify")
    assert "missing" not in verified.out and "was uninstalled" in verified.err
    assert cli("verify", "--release", "0").code == 1
    for words in (("repair", "--dry-run"), ("repair",)):
        refused = cli(*words)
        assert refused.code == 7 and "uninstalled" in refused.err and "install" in refused.err
    cli.ok("install", "crm")  # as it says
    assert cli.ok("status", "--json").shapes[0]["baseline"] == "release"
    (root / next(iter(V1))).unlink()
    cli.ok("repair")
    assert files_in(root) == V1


def test_uninstalling_for_good(cli: "Cli", old: Path, root: Path) -> None:
    cli.ok("install", str(old))
    cli.ok("uninstall", "crm", "--forget", "--yes")
    assert cli.ok("app", "list", "--json").shapes == [] and root.is_dir()
    cli.ok("install", "crm")
    assert files_in(root) == V1


def test_needed_products_come_first_and_go_with_what_needed_them(
    cli: "Cli", crm: Products, old: Path, tmp_path: Path, root: Path
) -> None:
    lib = Products(tmp_path / "lib-vendor", key="libpay", app=LIB)
    place = tmp_path / "opt" / "libpay"
    payed = lib.pack({"lib/libpay.so": b"pay" * 100}, "3.1", root=str(place))
    needing = crm.pack(V2, "4.1.0", needs=("libpay>=3", "tax?"), root=str(root))
    refused = cli("install", str(needing), "--json")
    assert refused.code == 9
    error = refused.error
    assert "libpay" in error["data"]["derivation"][1]["says"]
    assert cli("install", str(needing), "--dry-run").code == 9
    assert not root.exists()
    cli.ok("catalog", "import", str(payed))
    assert cli.ok("search", "pay").out.split() == ["libpay", "3.1-1", "(0)", "-"]
    refused = cli("install", "crm", "--root", str(tmp_path / "else"))
    assert refused.code == 2 and "app add KEY FOLDER" in refused.err
    planned = cli.ok("install", "crm", "--dry-run")
    assert "all of them or none" in planned.err
    said = cli.ok("install", "crm").out
    assert "undo --app libpay" not in said and "undo of all: epmstore undo --app crm" in said
    shown = cli.ok("undo", "--app", "crm", "--dry-run")
    assert "libpay: version" in shown.out and "crm, libpay were changed together" in shown.err
    [plan] = cli.ok("undo", "--app", "crm", "--dry-run", "--json").shapes
    check(plan)
    check(plan["others"][0])
    assert [one["app"] for one in plan["others"]] == ["libpay"] and plan["others"][0]["steps"]
    assert files_in(place) and files_in(root) == V2
    [result] = cli.ok("undo", "--app", "libpay", "--json").shapes
    check(result)
    check(result["others"][0])
    assert result["transaction"] == ["libpay", "crm"] and result["others"][0]["app"] == "crm"
    assert not files_in(place) and not files_in(root)
    redone = cli.ok("redo", "--app", "libpay").out.splitlines()
    assert redone[0].startswith("libpay: ") and "undo" not in redone[0]
    assert redone[1].startswith("crm: ") and redone[1].endswith("undo --app crm")
    cli.ok("undo", "--app", "crm")
    solution, *results = cli.ok("install", "crm", "--json").shapes
    check(solution)
    assert [one["app"] for one in results] == ["libpay", "crm"]
    assert solution["steps"][0]["why"] == ["crm 4.1.0-1 (1) needs libpay 3 or newer"]
    assert files_in(place) and files_in(root) == V2
    assert [note["what"] for note in cli.ok("notes", "--app", "crm", "--json").shapes] == ["unmet"]
    kept = cli("uninstall", "libpay")
    assert kept.code == 7 and "crm" in kept.err
    assert cli("uninstall", "libpay", "--dry-run").code == 7
    [why] = cli.ok("why", "libpay", "--json").shapes
    check(why)
    assert [one["is"]["product"] for one in why["by"]] == ["crm"]
    cli.ok("uninstall", "crm", "libpay", "--yes")
    assert installed(cli) == []


def test_room_for_all_is_asked_for_before_the_first_is_moved(
    cli: "Cli",
    crm: Products,
    old: Path,
    tmp_path: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lib = Products(tmp_path / "lib-vendor", key="libpay", app=LIB)
    place, large = tmp_path / "opt" / "libpay", os.urandom(100_000)
    cli.ok("catalog", "import", str(lib.pack({"lib/pay": large}, "3.1", root=str(place))))
    needing = crm.pack({"bin/crmd": large[1:]}, "4.1.0", needs=("libpay>=3",), root=str(root))
    cli.ok("catalog", "import", str(needing))
    free = SimpleNamespace(f_bfree=40, f_bavail=40, f_frsize=4096, f_files=0, f_ffree=0, f_flag=0)
    monkeypatch.setattr(os, "fstatvfs", lambda fd: free)
    for words in (["install", "crm", "--dry-run"], ["install", "crm"]):
        refused = cli(*words)
        assert refused.code == 4 and "all of it needs" in refused.err
        assert not place.exists() and not root.exists() and installed(cli) == []
    cli.ok("install", "libpay")
    assert files_in(place) == {"lib/pay": large}


def test_an_application_of_which_nothing_is_recorded_hinders_no_install(
    cli: "Cli", old: Path, tmp_path: Path, root: Path
) -> None:
    (tmp_path / "web").mkdir()
    cli.ok("app", "add", "web", str(tmp_path / "web"))
    cli.ok("install", str(old))
    assert files_in(root) == V1 and installed(cli) == [("crm", "4.0.0", 0)]


def test_who_owns_what(cli: "Cli", old: Path, root: Path) -> None:
    cli.ok("install", str(old))
    [owner] = cli.ok("owner", str(root / "bin" / "crmd"), "--json").shapes
    check(owner)
    assert (owner["app"], owner["path"]) == ("crm", "bin/crmd")
    assert cli("owner", str(root / "nothing")).code == 5
    assert cli("owner", "libpay.so.3").code == 5
    [hit] = cli.ok("search", "CRM", "--json").shapes
    check(hit)
    assert hit["installed"] == ["crm"]
    assert cli.ok("search", "crm").out.split()[:2] == ["*", "crm"]
    assert "no product that is here has that" in cli.ok("search", "crm", "nothing").err
    shapes = cli.ok("installed", "--files", "--json").shapes
    for shape in shapes:
        check(shape)
    assert {one["path"] for one in shapes[1:] if one["kind"] == "file"} == set(V1)


def test_files_that_are_in_the_way_are_named(cli: "Cli", old: Path, root: Path) -> None:
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "same").write_bytes(V1["bin/same"])
    (root / "bin" / "crmd").write_bytes(b"by hand")
    (root / "etc").mkdir()
    (root / "etc" / "crm.conf").write_bytes(b"by hand, too")
    refused = cli("install", str(old))
    assert refused.code == 7 and "--root" in refused.err, "a proposed root has to be free"
    before = files_in(root)
    args = ["install", str(old), "--root", str(root)]
    for dry in ([], ["--dry-run"]):
        refused = cli(*args, *dry)
        assert refused.code == 7 and "--adopt" in refused.err and "'bin/crmd'" in refused.err
    assert files_in(root) == before and cli.ok("app", "list", "--json").shapes == []
    cli.ok(*args, "--replace")
    assert files_in(root) == {**V1, "etc/crm.conf": b"by hand, too"}
    whats = [one["what"] for one in cli.ok("notes", "--json").shapes]
    assert whats == ["replaced", "found-config"]
    cli.ok("undo")
    assert files_in(root) == before


def test_a_root_that_was_installed_by_hand_is_adopted(
    cli: "Cli", old: Path, new: Path, root: Path
) -> None:
    cli.ok("catalog", "import", str(new))
    for path, data in V1.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    (root / "etc" / "crm.conf").write_bytes(b"port = 1\n")
    assert cli("install", "--adopt", "crm").code == 5
    args = ["install", "--adopt", "crm", "--root", str(root)]
    before = files_in(root)
    cli.ok(*args, "--dry-run")
    assert cli.ok("app", "list", "--json").shapes == []
    _, result = cli.ok(*args, "--json").shapes
    check(result)
    assert result["action"] == "adopt" and files_in(root) == before
    assert cli.ok("installed").out == "crm  crm  4.0.0-1 (0) [adopted]\n"
    assert "nothing to do" in cli.ok(*args).out
    assert cli("install", "--adopt", "crm=4.1.0").code == 7
    cli.ok("catalog", "import", str(old))
    cli.ok("upgrade", "crm")
    assert files_in(root) == {**V2, "etc/crm.conf": b"port = 1\n"}
    cli.ok("rollback")
    assert installed(cli) == [("crm", "4.0.0", 0)] and files_in(root) == before
    cli.ok("checkout", "0")
    assert installed(cli) == []


def test_a_root_that_no_release_explains_is_not_adopted(
    cli: "Cli", old: Path, tmp_path: Path
) -> None:
    cli.ok("catalog", "import", str(old))
    place = tmp_path / "other"
    place.mkdir()
    (place / "x").write_bytes(b"quite another thing, long enough to say something of itself" * 3)
    refused = cli("install", "--adopt", "crm", "--root", str(place))
    assert refused.code == 7 and "--adopt crm=VERSION" in refused.err
    assert cli.ok("app", "list", "--json").shapes == []
    cli.ok("install", "--adopt", "crm=4.0.0", "--root", str(place))
    assert installed(cli) == [("crm", "4.0.0", 0)]


def test_two_products_in_one_root_are_refused_by_name(
    cli: "Cli", old: Path, tmp_path: Path, root: Path
) -> None:
    other = Products(tmp_path / "lib-vendor", key="libpay", app=LIB)
    payed = other.pack({"bin/crmd": b"mine"}, "3", root=str(root))
    cli.ok("install", str(old))
    refused = cli("install", str(payed), "--app", "crm")
    assert refused.code == 7 and "crm 4.0.0-1" in refused.err and "libpay 3-1" in refused.err
    assert cli("install", str(payed)).code == 7, "its proposed root is crm's"
    assert cli("install", str(payed), "--root", str(root / "sub")).code == 7
    assert files_in(root) == V1 and not (root / "sub").exists()
    assert installed(cli) == [("crm", "4.0.0", 0)]


def test_a_second_instance(cli: "Cli", old: Path, new: Path, tmp_path: Path, root: Path) -> None:
    cli.ok("install", str(old))
    second = tmp_path / "second"
    refused = cli("install", "crm", "--root", str(second))
    assert refused.code == 7 and "--product crm" in refused.err
    second.mkdir()
    cli.ok("app", "add", "crm2", str(second), "--product", "crm")
    cli.ok("install", str(new), "--app", "crm2")
    assert installed(cli) == [("crm", "4.0.0", 0), ("crm2", "4.1.0", 1)]
    assert cli("uninstall", "crm").code == 2
    cli.ok("uninstall", "crm2")
    assert files_in(root) == V1 and files_in(second) == {}


def test_bad_input_changes_nothing(cli: "Cli", old: Path, tmp_path: Path) -> None:
    before = store_files(cli)
    bad = tmp_path / "bad\nname.epkg"
    bad.write_bytes(b"no package")
    for args, code in (
        ([str(bad)], 6),
        (["./nothing.epkg"], 5),
        (["nobody"], 5),
        (["=4"], 2),
        (["crm>=4"], 2),
        (["a\nb"], 2),
        ([str(tmp_path)], 6),
        ([str(old), "--app", "nobody"], 5),
    ):
        found = cli("install", *args)
        assert found.code == code, (args, found)
        assert len(found.err.splitlines()) <= 2 and "bad\n" not in found.err
        assert cli("install", *args, "--dry-run").code == code
    assert cli("upgrade", "crm").code == 5
    assert cli("uninstall", "crm").code == 5
    assert cli("freeze", "crm").code == 5
    assert cli("install").code == 2
    assert store_files(cli) == before


def test_a_package_that_proposes_no_root(cli: "Cli", crm: Products, tmp_path: Path) -> None:
    cli.ok("init")
    path = crm.pack(V1, "4.0.0")
    refused = cli("install", str(path))
    assert refused.code == 2 and "--root" in refused.err
    cli.ok("install", str(path), "--root", str(tmp_path / "deep" / "er"))
    assert files_in(tmp_path / "deep" / "er") == V1


def test_two_at_once(cli: "Cli", old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import sys, pathlib; from epmstore import locks\n"
        "with locks.hold(pathlib.Path(sys.argv[1]), 'packages'):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    monkeypatch.setattr(locks, "WAIT_SECONDS", 0.0)
    held = subprocess.Popen(
        [sys.executable, "-c", script, str(cli.store / "locks")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert held.stdout is not None and held.stdout.readline()
    try:
        refused = cli("install", str(old))
        assert refused.code == 11 and "installing" in refused.err
    finally:
        held.communicate(b"")
    cli.ok("install", str(old))


def test_a_root_that_is_gone(cli: "Cli", old: Path, new: Path, root: Path) -> None:
    cli.ok("install", str(old))
    os.rename(root, root.with_name("away"))
    for args in (["upgrade", str(new)], ["uninstall", "crm"]):
        assert cli(*args).code == 7
        assert cli(*args, "--dry-run").code == 7
    assert installed(cli) == [("crm", "4.0.0", 0)]


def test_a_root_that_is_a_link(cli: "Cli", old: Path, tmp_path: Path, root: Path) -> None:
    """A link where a package proposes to live is not followed; where somebody names it, it is."""
    target = tmp_path / "elsewhere"
    target.mkdir()
    root.parent.mkdir()
    root.symlink_to(target)
    refused = cli("install", str(old))
    assert refused.code == 7 and not [*target.iterdir()]
    (tmp_path / "dangling").symlink_to("nothing")
    refused = cli("install", "crm", "--root", str(tmp_path / "dangling"))
    assert refused.code == 7 and not (tmp_path / "nothing").exists()
    assert cli("install", "crm", "--root", "/").code == 2
    assert cli.ok("app", "list", "--json").shapes == []
    cli.ok("install", str(old), "--root", str(root))
    assert files_in(target) == V1
    [shown] = cli.ok("app", "show", "crm", "--json").shapes
    assert shown["root"] == str(target)


@pytest.mark.root
def test_files_may_be_given_to_a_user(cli: "Cli", old: Path, new: Path, root: Path) -> None:
    refused = cli("install", str(old), "--owner", "no-such-user")
    assert refused.code == 7 and not root.exists()
    cli.ok("install", str(old), "--owner", "nobody")
    uid = pwd.getpwnam("nobody").pw_uid
    assert {path.stat().st_uid for path in [root, *root.rglob("*")]} == {uid}
    cli.ok("upgrade", str(new))
    assert {path.stat().st_uid for path in root.rglob("*")} == {uid}
    assert cli.ok("status").code == 0


def test_packages_that_are_not_to_be_believed_are_refused(
    cli: "Cli", old: Path, tmp_path: Path, root: Path
) -> None:
    before = store_files(cli)
    data = old.read_bytes()
    newer = data[:60] + (99).to_bytes(4, "big") + data[64:]
    middle = data.index(b"EPM1") + 20  # in a seal
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    for bad, code in ((newer, 10), (flipped, 6), (data[:-4096], 6)):
        path = tmp_path / "bad.epkg"
        path.write_bytes(bad)
        for dry in ([], ["--dry-run"]):
            found = cli("install", str(path), *dry)
            assert found.code == code, found
    (tmp_path / "bad.epkg.asc").write_text("no signature")
    (tmp_path / "bad.epkg").write_bytes(data)
    assert cli("install", str(tmp_path / "bad.epkg")).code == 8
    assert store_files(cli) == before and not root.exists()
    assert cli.ok("app", "list", "--json").shapes == []


def test_a_package_that_came_signed_is_not_taken_unsigned(
    cli: "Cli", old: Path, new: Path, root: Path
) -> None:
    cli.ok("install", str(old))
    [uuid] = {one["is"]["uuid"] for one in cli.ok("installed", "--json").shapes}
    trust = Trust(cli.store)
    trust.remember(uuid, replace(trust.record(uuid), signed=True))
    for dry in ([], ["--dry-run"]):
        assert cli("upgrade", str(new), *dry).code == 8
    assert files_in(root) == V1
    cli.ok("upgrade", str(new), "--allow-unsigned")
    assert files_in(root) == V2


def test_a_rollback_of_a_product_takes_its_last_step_back(
    cli: "Cli", crm: Products, old: Path, new: Path, root: Path
) -> None:
    third = crm.pack({**V2, "bin/third": b"3"}, "4.2.0", root=str(root))
    for path in (old, new, third):
        cli.ok("install", str(path))
    (root / "bin" / "added").write_bytes(b"here")
    cli.ok("snapshot", "-m", "added by hand")
    [plan] = cli.ok("rollback", "crm", "--dry-run", "--json").shapes
    [result] = cli.ok("rollback", "crm", "--yes", "--json").shapes
    assert (plan["of"], plan["removed"]) == (result["of"], result["removed"])
    assert installed(cli) == [("crm", "4.1.0", 1)]
    cli.ok("unhold", "crm")
    cli.ok("rollback", "crm", "--yes")
    assert installed(cli) == [("crm", "4.0.0", 0)]
    first = cli("rollback", "crm", "--yes")
    assert first.code == 5 and "epmstore uninstall" in first.err
    assert cli("rollback", "nobody").code == 5


def test_a_package_that_finds_no_room_in_the_store_says_where_and_what_helps(
    cli: "Cli", old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen before anything is written, or while it is."""
    found = os.statvfs(cli.store)
    free = os.statvfs_result((*found[:3], 0, 0, *found[5:10]))
    before = store_files(cli)

    def fill(deposit: Deposit) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    stand_ins: tuple[tuple[object, str, object], ...] = (
        (os, "statvfs", lambda place: free),
        (Deposit, "commit", fill),
    )
    for target, name, stand_in in stand_ins:
        for words in (("catalog", "import", str(old)), ("install", str(old), "--yes")):
            with monkeypatch.context() as patched:
                patched.setattr(target, name, stand_in)
                refused = cli(*words)
            assert refused.code == 4
            assert f"no room in the store {cli.store} for {old.name}" in refused.err
            assert "epmstore gc" in refused.err and store_files(cli) == before
    cli.ok("catalog", "import", str(old))
