"""What a program of ours will read again goes through its own reader before it is written."""

import ast
from pathlib import Path

import pytest

from epmstore import atomic
from epmstore.care.ledger import Ledger, TaskTimes, change
from epmstore.catalog.appcat import App, AppCat, save
from epmstore.checkout.goal import VersionGoal
from epmstore.checkout.obligations import Moment, Owed, OwedFile
from epmstore.clock import FixedClock
from epmstore.errors import UnreadableError
from epmstore.record.change import OpenChange, begin, marker
from epmstore.refcat.trust import Trust, TrustRecord
from epmstore.workspace import Workspace
from epmstored import pauses
from epmstored.app_state import Pause

ROOT = Path(__file__).resolve().parent.parent

AS_IT_IS = {
    "epmstore/atomic.py": "the door itself",
    "epmstore/blobs/packlog.py": "bytes that are moved to the quarantine",
    "epmstore/catalog/history.py": "bytes that are moved to the quarantine",
    "epmstore/care/copy.py": "bytes that were read, each record checked",
    "epmstore/care/restore.py": "bytes that were read from a copy",
    "epmstore/store/catalog_repair.py": "lines that were decoded",
    "epmstore/cli/catalog.py": "a catalog that was read line by line, and its signature",
    "epmstore/cli/man.py": "documentation",
    "epmstore/cli/reference.py": "documentation",
    "epmstore/cli/schema.py": "documentation",
    "daemon/epmstored/api/openapi.py": "documentation",
    "epmstore/sync/depottables.py": "a table that was read, and is known by its digest",
    "epmstore/sync/pulling.py": "a key and a head that were read, and verified",
    "epmstore/sync/registry.py": "keys, and heads that were decoded",
    "epmstore/workspace/declarations.py": "a drop-in, which systemd reads",
    "daemon/epmstored/systemd_jobs.py": "options, which systemd reads",
}
"""Who writes a file without a reader, and what."""


def test_who_writes_files_of_ours_gives_a_reader() -> None:
    found = set()
    for path in [*ROOT.glob("epmstore/**/*.py"), *ROOT.glob("daemon/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name == "replace_file":
                    found.add(str(path.relative_to(ROOT)))
    assert found == set(AS_IT_IS)


def test_replace_read_does_not_write_what_the_reader_refuses(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(UnreadableError, match="file was not written"):
        atomic.replace_read(path, b"x", lambda data: int(data))
    assert path.read_bytes() == b"before"
    atomic.replace_read(path, b"7", int)
    assert path.read_bytes() == b"7"


def test_no_small_file_is_written_that_could_not_be_read(tmp_path: Path) -> None:
    """Values that the types do not allow, which nobody asks about before they are written."""
    store = tmp_path / "store"
    with Workspace.init(store, clock=FixedClock()) as ws:
        app = App(uuid="0" * 32, key="crm", root="/opt/crm", noisy=(7,))  # type: ignore[arg-type]
        with pytest.raises((UnreadableError, TypeError, AttributeError)):
            save(store / "catalogs/appcat.json", AppCat((app,)))
        odd = App(uuid=None, key="crm", root="/opt/crm")  # type: ignore[arg-type]
        with pytest.raises(UnreadableError):
            save(store / "catalogs/appcat.json", AppCat((odd,)))
        with pytest.raises(UnreadableError):
            begin(ws._store, "a", OpenChange(since=None))  # type: ignore[arg-type]
        assert not marker(ws._store, "a").exists()
        with pytest.raises(UnreadableError):
            change(store, lambda _: Ledger(tasks={"gc": TaskTimes("soon")}))  # type: ignore[arg-type]
        with pytest.raises(UnreadableError):
            pauses.save(store, {"a": Pause(7, "me")})  # type: ignore[arg-type]
        with pytest.raises(UnreadableError):
            Trust(store).remember("a", TrustRecord(signed="yes"))  # type: ignore[arg-type]
        owed = Owed(
            app="a", key="crm", phase="SLEEPING", action="checkout", txid="t", from_=0,  # type: ignore[arg-type]
            goal=VersionGoal(0), since=Moment(wall=1.0, boot="b", uptime=1.0), time="now",
        )  # fmt: skip
        with pytest.raises(UnreadableError):
            OwedFile(store / "journals/a.owed").save(owed)
    assert not list(store.rglob(".tmp-*"))
