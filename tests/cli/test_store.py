"""fsck, rebuild, forget, gc, stats: looking after the store, and what is said about damage."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

EVERYTHING = ("--keep-last", "1")


@pytest.fixture
def grown(cli: "Cli", recorded: Path) -> Path:
    """Two changes, and between them two versions of drift with a change of nothing after each."""
    for number in (1, 2):
        (recorded / "bin" / "crmd").write_text(f"drift {number}\n")
        cli.ok("change", "begin")
        cli.ok("change", "end")
    (recorded / "bin" / "crmd").write_text("program 2\n")
    cli.ok("snapshot", "-m", "patch")
    return recorded


def spoil(file: Path) -> None:
    """Flip one bit in the middle of a file."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def pack_files(store: Path) -> list[Path]:
    return [path for path in (store / "packs").rglob("*") if path.is_file()]


def test_a_sound_store_is_0(cli: "Cli", recorded: Path) -> None:
    assert cli.ok("fsck").out.startswith("no damage found in tables, catalogs and the index;")
    assert cli.ok("fsck", "--read-data").out.startswith("no damage found, ")
    [summary] = cli.ok("fsck", "--read-data=10%", "--json").shapes
    assert (summary["type"], summary["clean"], summary["left"]) == ("summary", True, 0)


def test_damage_is_6_and_named(cli: "Cli", recorded: Path) -> None:
    spoil(pack_files(cli.store)[0])
    found = cli("fsck", "--read-data")
    assert found.code == 6
    assert "packs/" in found.out
    *findings, summary = cli("fsck", "--read-data", "--json").shapes
    assert findings and all(f["type"] == "finding" for f in findings)
    assert summary["left"] == len(findings)


def test_a_lost_index_is_rebuilt(cli: "Cli", grown: Path) -> None:
    before = cli.ok("log", "--all").out
    for path in cli.store.glob("index.sqlite*"):
        path.unlink()
    assert cli.ok("rebuild").out == "the index is new\n"
    assert cli.ok("log", "--all").out == before


def test_a_broken_index_is_named_and_rebuilt(cli: "Cli", grown: Path) -> None:
    before = cli.ok("log", "--all").out
    for path in cli.store.glob("index.sqlite*"):
        path.write_bytes(b"no database at all" * 1000)
    found = cli("log")
    assert found.code in (0, 6)
    cli.ok("rebuild")
    assert cli.ok("log", "--all").out == before


def test_a_damaged_catalog_is_6(cli: "Cli", grown: Path) -> None:
    [catalog] = (cli.store / "catalogs").glob("*.syscat.zst")
    spoil(catalog)
    found = cli("fsck")
    assert found.code == 6
    assert catalog.name in found.out


def test_of_damaged_histories_each_is_named_and_differences_end_as_3(
    cli: "Cli", grown: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "a").write_text("a")
    cli.ok("app", "add", "other", str(other))
    cli.ok("snapshot", "--app", "other")
    for catalog in (cli.store / "catalogs").glob("*.syscat.zst"):
        spoil(catalog)
    cli("fsck")
    (other / "b").write_text("b")
    found = cli("status")
    assert found.code == 3
    for key in ("crm", "other"):
        assert found.err.count(f"warning: {key}: ") == 1


def test_forget_and_gc_and_back(cli: "Cli", grown: Path) -> None:
    dry = cli.ok("forget", "--dry-run", "--json", *EVERYTHING).shapes[0]
    assert dry["versions"] and dry["dry_run"] is True
    assert cli.ok("log", "--all").out.count("not restorable") == 0
    cli.ok("forget", "--yes", *EVERYTHING)
    gone = dry["versions"][0]
    assert cli.ok("log", "--all").out.count("not restorable") == len(dry["versions"])
    refused = cli("checkout", str(gone))
    assert refused.code == 5
    [remedy] = re.findall("`epmstore (unforget [^`]*)`", refused.err)
    cli.ok(*remedy.split())
    cli.ok("checkout", str(gone), "--dry-run")
    cli.ok("forget", str(gone))
    cli.ok("gc", "--dry-run")
    held = len(dry["versions"]) - 1
    assert cli.ok("gc", "--json").shapes[0]["held"] == held
    assert "epmstore gc --now" in cli.ok("gc").err
    cli.ok("unforget", str(dry["versions"][1]))
    assert cli.ok("gc", "--now", "--json").shapes[0]["held"] == 0
    assert cli.ok("fsck", "--read-data").out.startswith("no damage")


def test_the_usual_policy_forgets_nothing_recent(cli: "Cli", grown: Path) -> None:
    assert cli.ok("forget").out == "crm: nothing to forget\n"


def test_the_newest_and_the_pinned_stay(cli: "Cli", grown: Path) -> None:
    cli.ok("pin", "0")
    assert cli("forget", "0").code == 7
    assert cli("forget", "latest").code == 7
    assert cli("forget", "1", "--keep-last", "3").code == 2
    assert cli("forget", "99").code == 5


def test_stats_add_up(cli: "Cli", grown: Path) -> None:
    [shape] = cli.ok("stats", "--json").shapes
    assert (shape["type"], shape["apps"], shape["versions"]) == ("stats", 1, 6)
    assert shape["logical_bytes"] > shape["raw_bytes"] > 0
    assert "1 pack" in cli.ok("stats").out


def test_a_store_of_another_machine_is_adopted(cli: "Cli", recorded: Path) -> None:
    assert cli("store", "adopt", "--moved", "--new-host").code == 2
    assert "would be" in cli.ok("store", "adopt", "--moved", "--dry-run").out
    cli.ok("store", "adopt", "--new-host")
    assert cli.ok("log").out.count("\n") == 1


def test_damage_is_repaired_from_the_live_root(cli: "Cli", recorded: Path) -> None:
    spoil(pack_files(cli.store)[0])
    assert cli("fsck", "--read-data", "--repair", "--dry-run").code == 6
    found = cli("fsck", "--read-data", "--repair")
    assert found.code == 0
    assert "repaired" in found.out
    assert cli.ok("fsck", "--read-data").out.startswith("no damage")


def test_a_copy_is_a_store_and_is_brought_up_to_date(
    cli: "Cli", grown: Path, tmp_path: Path
) -> None:
    target = tmp_path / "copy"
    assert "would copy" in cli.ok("store", "copy", str(target), "--dry-run").err
    assert not target.exists()
    assert str(target) in cli.ok("store", "copy", str(target)).out
    (grown / "new").write_bytes(b"new\n")
    cli.ok("snapshot")
    [shape] = cli.ok("store", "copy", str(target), "--json").shapes
    assert shape["type"] == "copy" and shape["bytes"] > 0
    assert cli.ok("log", "--store", str(target)).out == cli.ok("log").out
    assert cli("store", "copy", str(cli.store / "packs")).code == 2


def test_store_copy_names_damaged_files(cli: "Cli", recorded: Path, tmp_path: Path) -> None:
    (catalog,) = (cli.store / "catalogs").glob("*.syscat.zst")
    spoil(catalog)
    found = cli("store", "copy", str(tmp_path / "copy"))
    assert found.code == 6 and "copied to" in found.out
    assert catalog.name in found.err and "fsck" in found.err
    found = cli("store", "copy", str(tmp_path / "copy"), "--json")
    assert (found.code, len(found.shapes[0]["damage"])) == (6, 1)


def test_doctor_says_what_it_looked_at(cli: "Cli", recorded: Path) -> None:
    found = cli("doctor", "--json")
    assert found.code in (0, 4)
    assert found.code == (0 if all(s["ok"] for s in found.shapes) else 4)
    assert len(cli("doctor").out.splitlines()) >= len(found.shapes)


def test_upgrade_has_nothing_to_do(cli: "Cli", recorded: Path) -> None:
    cli.ok("store", "upgrade", "--dry-run")
    assert "newest format" in cli.ok("store", "upgrade").out


def test_drill(cli: "Cli", recorded: Path) -> None:
    assert "would restore" in cli.ok("drill", "--dry-run").err
    assert "crm: version 0 can be restored: 2 files" in cli.ok("drill").out
    [shape] = cli.ok("drill", "0", "--json").shapes
    assert (shape["type"], shape["proven"], shape["differs"]) == ("drill", True, [])
    assert cli("drill", "7").code == 5


def test_a_removed_application_is_listed_read_and_taken_up(cli: "Cli", grown: Path) -> None:
    log = cli.ok("log", "--all").out
    uuid = cli.ok("app", "show", "crm", "--json").shapes[0]["uuid"]
    assert f"epmstore app add {uuid} --again" in cli.ok("app", "remove", "crm").err
    assert cli.ok("app", "list").out == ""
    [shape] = cli.ok("app", "list", "--removed", "--json").shapes
    assert (shape["uuid"], shape["root"]) == (uuid, str(grown)) and shape["removed"]
    assert uuid in cli.ok("app", "list", "--removed").out
    for name in ("crm", uuid):
        assert cli.ok("log", "--all", "--app", name).out == log
    assert cli("snapshot", "--app", uuid).code == 7
    assert cli("app", "remove", "crm").code == 7
    assert "note: an application crm was removed" in cli.ok("app", "add", "crm", str(grown)).err
    cli.ok("app", "remove", "crm")
    assert cli("app", "add", "crm", "--again", "--state", "x").code == 2
    assert "would take up" in cli.ok("app", "add", "crm", "--again", "--dry-run").err
    assert cli.ok("app", "add", "crm", "--again").out.startswith("crm: registered")
    assert cli.ok("log", "--all").out == log
    cli.ok("app", "remove", "crm")
    cli.ok("app", "remove", uuid, "--forget")
    assert cli.ok("app", "list", "--removed").out == ""
