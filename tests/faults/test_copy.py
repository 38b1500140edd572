"""A copy that is brought up to date and fails in the middle has no content that lacks its parts."""

import contextlib
import errno
import random
from collections.abc import Iterator
from pathlib import Path

from epmstore.care import copy
from epmstore.store import commit, reserve
from epmstore.store.replay import pack_files
from epmstore.store.store import Store
from epmstore.workspace import Workspace
from tests.faults import sizes
from tests.faults.further import LARGE, changed
from tests.faults.points import Answer, in_process
from tests.faults.shim import Fault, Shim
from tests.kit.program import SEED


def interrupted(place: Path) -> Answer:
    """Findings of the copy after each of its renames failed; newest packs are copied first."""
    sizes.lower()
    reserve.SIZE, commit.LOG_LIMIT = 1 << 16, 0

    def newest_first(store: Store) -> Iterator[str]:
        yield from sorted(pack_files(store), key=lambda f: -(store.packs / f).stat().st_mtime_ns)

    setattr(copy, "pack_files", newest_first)  # noqa: B010
    root = place / "root"
    root.mkdir()
    data = random.Random(SEED).randbytes(LARGE)
    found: list[str] = []
    with Workspace.init(place / "store") as workspace:
        workspace.apps.add("crm", root)
        workspace.care.copy(place / "copy")
        for content in (data, changed(data)):
            (root / "large").write_bytes(content)
            workspace.app("crm").snapshot("large")
        for at in range(1, 6):
            fault = Fault("fail", at, errno.EIO, sticky=True, only=frozenset({"rename"}))
            with contextlib.suppress(OSError), Shim(fault):
                workspace.care.copy(place / "copy")
            with Workspace.open(place / "copy") as other:
                found += [f"{at}: {finding}" for finding in other.care.fsck(1.0).findings]
    return {"found": found}


def test_a_copy_that_fails_in_the_middle_is_sound(tmp_path: Path) -> None:
    assert in_process(lambda: interrupted(tmp_path)) == {"found": []}
