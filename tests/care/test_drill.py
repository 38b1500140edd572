"""The restore drill proves that a version can be restored, or says what is wrong."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from epmstore.care import ledger
from epmstore.care.drill import clear, drill
from epmstore.checkout.target import export
from epmstore.errors import (
    BusyError,
    DamagedError,
    DiskFullError,
    NotFoundError,
    NotRestorableError,
)
from epmstore.tree import Entry
from epmstore.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    root = tmp_path / "crm"
    (root / "bin").mkdir(parents=True)
    (root / "data").mkdir()
    (root / "bin" / "crmd").write_bytes(b"program\n" * 100)
    (root / "bin" / "twin").hardlink_to(root / "bin" / "crmd")
    (root / "large").write_bytes(os.urandom(6 << 20))
    (root / "current").symlink_to("bin")
    (root / "data" / "rows").write_bytes(b"state")
    (root / "key").write_bytes(b"secret")
    (root / os.fsdecode(b"\xff")).write_bytes(b"a name that is no text")
    with Workspace.init(tmp_path / "store") as found:
        found.apps.add("crm", root, state=["data/"], secret=["key"])
        found.app("crm").snapshot()
        yield found


def scratch(workspace: Workspace) -> list[str]:
    return os.listdir(workspace.path / "scratch")


def test_a_good_version_is_proven_and_that_is_remembered(workspace: Workspace) -> None:
    version, done = workspace.care.drill("crm")
    assert (version, done.differs) == (0, ())
    assert (done.files, done.without) == (4, 1)
    uuid = workspace.apps.get("crm").uuid
    assert ledger.load(workspace.path).proofs[uuid].version == 0
    assert scratch(workspace) == []


AS_THE_DAEMON = """
import sys
from pathlib import Path
from epmstore.care.drill import clear
from epmstore.workspace import Workspace

with Workspace.open(Path(sys.argv[1])) as workspace:
    assert workspace.care.drill("crm")[1].differs == ()
clear(Path(sys.argv[1]))
"""


@pytest.mark.root
def test_drill_without_dac_override_clears_folders_of_others(
    workspace: Workspace, tmp_path: Path
) -> None:
    """The daemon's unit gives it no CAP_DAC_OVERRIDE."""
    root = tmp_path / "crm"
    (root / "closed").mkdir()
    for folder in (root, root / "bin", root / "closed"):
        for path in (folder, *folder.iterdir()):
            os.chown(path, 1000, 1000, follow_symlinks=False)
    (root / "bin").chmod(0o555)
    (root / "closed").chmod(0o300)
    workspace.app("crm").snapshot()
    unit = Path(__file__).parents[2] / "daemon/systemd/system/epmstored.service"
    [line] = [x for x in unit.read_text().splitlines() if x.startswith("CapabilityBoundingSet=")]
    capabilities = line.partition("=")[2].lower().replace("cap_", "+").replace(" ", ",")
    setpriv = ["setpriv", f"--bounding-set=-all,{capabilities}"]
    command = [*setpriv, sys.executable, "-c", AS_THE_DAEMON, str(workspace.path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert scratch(workspace) == []


def test_a_version_with_damaged_contents_is_not(workspace: Workspace) -> None:
    for pack in (workspace.path / "packs").rglob("*"):
        if pack.is_file() and pack.stat().st_size > 1 << 20:
            data = bytearray(pack.read_bytes())
            data[len(data) // 2] ^= 1
            pack.write_bytes(data)
    Path(workspace.apps.get("crm").root, "large").unlink()  # a live file would do
    with pytest.raises(DamagedError):
        workspace.care.drill("crm")
    assert ledger.load(workspace.path).proofs == {}
    assert scratch(workspace) == []


def changed(entry: Entry, **fields: object) -> Entry:
    import msgspec  # noqa: PLC0415

    return msgspec.structs.replace(entry, **fields)


@pytest.mark.parametrize(
    ("path", "fields", "what"),
    [
        ("bin/crmd", {"mode": 0o600}, "mode"),
        ("current", {"target": "lib"}, "target"),
        ("bin/crmd", {"kind": "directory", "content": None}, "directory"),
    ],
)
def test_drill_notices_a_difference_in_each_field(
    workspace: Workspace,
    path: str,
    fields: dict[str, object],
    what: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The writer is made to write something else than it is given."""
    entries = workspace.app("crm").ls("latest")
    wanted = [changed(e, **fields) if e.path == path else e for e in entries]
    monkeypatch.setattr(
        "epmstore.care.drill.export", lambda target, _, *more: export(target, entries, *more)
    )
    done = drill(workspace._store, wanted)
    assert [path for path, _ in done.differs] == [path]
    assert what in done.differs[0][1]


def test_a_file_too_many_and_one_too_few(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = workspace.app("crm").ls("latest")

    def other(target: Path, wanted: list[Entry], *more: object) -> object:
        found = export(target, [e for e in wanted if e.path != "large"], *more)  # type: ignore[arg-type]
        (target / "more").write_bytes(b"")
        (target / "bin" / "crmd").write_bytes(b"other\n")
        return found

    monkeypatch.setattr("epmstore.care.drill.export", other)
    assert dict(drill(workspace._store, entries).differs) == {
        "bin/crmd": "has another content",
        "bin/twin": "has another content",
        "large": "is missing",
        "more": "is not in the version",
    }


def test_without_room_nothing_is_written(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epmstore.care.drill.SPARE", 1 << 60)
    with pytest.raises(DiskFullError):
        workspace.care.drill("crm")
    assert scratch(workspace) == []


def test_drill_clears_leftovers_of_a_killed_drill(workspace: Workspace) -> None:
    left = workspace.path / "scratch" / "drill-x" / "a"
    left.mkdir(parents=True)
    (left / "file").write_bytes(b"")
    workspace.care.drill("crm")
    assert scratch(workspace) == []


def test_drill_leaves_scratch_of_a_running_drill_alone(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that is started meanwhile, too."""

    def beside_others(*arguments: object) -> object:
        found = export(*arguments)  # type: ignore[arg-type]
        monkeypatch.setattr("epmstore.care.drill.export", export)
        clear(workspace.path)
        with pytest.raises(BusyError, match="'drill'"):
            workspace.care.drill("crm")
        return found

    monkeypatch.setattr("epmstore.care.drill.export", beside_others)
    assert workspace.care.drill("crm")[1].is_proven
    assert scratch(workspace) == []


def test_versions_that_are_not_kept(workspace: Workspace) -> None:
    root = Path(workspace.apps.get("crm").root)
    (root / "more").write_bytes(b"")
    workspace.app("crm").snapshot()
    workspace.care.forget("crm", [0])
    with pytest.raises(NotRestorableError):
        workspace.care.drill("crm", 0)
    assert workspace.care.drill("crm")[0] == 1


def test_an_application_without_versions(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "erp").mkdir()
    workspace.apps.add("erp", tmp_path / "erp")
    with pytest.raises(NotFoundError):
        workspace.care.drill("erp")


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b'{"format":2}', b'{"format":1,"sum":"x"}'])
def test_a_ledger_that_cannot_be_believed_is_an_empty_one(
    workspace: Workspace, junk: bytes
) -> None:
    workspace.care.drill("crm")
    (workspace.path / "care.json").write_bytes(junk)
    assert ledger.load(workspace.path) == ledger.Ledger()
    workspace.care.drill("crm")
    assert len(ledger.load(workspace.path).proofs) == 1


def test_keys_that_are_not_known_are_kept(workspace: Workspace) -> None:
    import json  # noqa: PLC0415

    document = {"format": 1, "later": {"x": 1}}
    document["sum"] = ledger._sum(document)
    (workspace.path / "care.json").write_text(json.dumps(document))
    workspace.care.drill("crm")
    assert json.loads((workspace.path / "care.json").read_bytes())["later"] == {"x": 1}


def test_shares_of_one_round_are_all_there_is(workspace: Workspace) -> None:
    whole = workspace.care.fsck(1.0).frames
    parts = [workspace.care.fsck_on(0.1).frames for _ in range(10)]
    assert sum(parts) == whole
    assert ledger.load(workspace.path).data.round == 1
