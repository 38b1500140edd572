"""What a killed recording leaves of a content that a release names is nothing to report."""

from pathlib import Path

import pytest

from epmstore.workspace import Workspace
from tests.cli.test_verify import RELEASES, publish_all, write
from tests.kit.faults import Calls, Killed, faults


def made(place: Path) -> tuple[Path, Path]:
    """(store, root): an older release is recorded, then the root is as the vendor's newest."""
    store, root = place / "store", place / "root"
    root.mkdir(parents=True)
    write(root, RELEASES[0])
    with Workspace.init(store) as ws:
        ws.apps.add("crm", root)
        publish_all(ws._store, ws.apps.get("crm").uuid, RELEASES)
        ws.app("crm").snapshot("as delivered")
    write(root, RELEASES[2])
    return store, root


@pytest.mark.slow
def test_contents_of_a_release_behind_what_the_index_read_are_no_damage(tmp_path: Path) -> None:
    calls = Calls()
    store, _ = made(tmp_path / "whole")
    with Workspace.open(store) as ws, faults(calls):
        ws.app("crm").snapshot("patch")
    orphans = 0
    for at in range(1, calls.count + 1):
        store, _ = made(tmp_path / str(at))
        with Workspace.open(store) as ws, faults(Calls(at)), pytest.raises(Killed):
            ws.app("crm").snapshot("patch")
        with Workspace.open(store) as ws:
            report = ws.care.fsck(1.0)
            assert report.findings == (), (at, calls.names[at - 1])
            known = ws._store.contents.files()
            orphans += any(
                path.stat().st_size > known.get(str(path.relative_to(store / "packs")), 0)
                for path in (store / "packs").rglob("*")
                if path.is_file()
            )
    assert orphans, "some kill leaves contents that no index knows"
