"""The root directory itself: recorded, compared, and brought back, with its mode, owner, ACL and
attributes.
"""

import codecs
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import pytest

from epmstore.catalog.model import VersionRecord
from epmstore.catalog.rootfacts import facts_of, root_of
from epmstore.relpath import ROOT
from epmstore.scan.metadata import OwnerNames, describe
from tests.acceptance.test_metadata import ACL
from tests.kit.faults import Calls, Killed, faults
from tests.kit.place import Place
from tests.scan.conftest import NOBODY, unprivileged

__all__ = ["unprivileged"]  # a fixture

IS_ROOT = os.geteuid() == 0


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = Place(tmp_path)
    found.write("bin/tool")
    found.root.chmod(0o755)
    return found


def looks(root: Path) -> tuple[object, ...]:
    found = root.lstat()
    names = sorted(os.listxattr(root))
    attributes = [(name, os.getxattr(root, name)) for name in names]
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, attributes


def set_xattr(path: Path, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        pytest.skip(f"no {name} here: {error.strerror}")


EDITS: dict[str, Callable[[Path], None]] = {
    "mode": lambda root: root.chmod(0o2711),
    "attribute": lambda root: set_xattr(root, "user.x", b"\xff"),
    "acl": lambda root: set_xattr(root, "system.posix_acl_access", ACL),
    "default": lambda root: set_xattr(root, "system.posix_acl_default", ACL),
}
if IS_ROOT:
    EDITS["owner"] = lambda root: os.chown(root, 12345, 54321)


@pytest.mark.slow
@pytest.mark.parametrize("edit", EDITS)
def test_each_of_its_attributes_is_seen_and_comes_back(place: Place, edit: str) -> None:
    place.snapshot()
    before = looks(place.root)
    with place.crm() as crm:
        assert crm.status().clean
        EDITS[edit](place.root)
        after = looks(place.root)
        status = crm.status()
        assert (status.clean, status.modified, status.metadata) == (False, [ROOT], [ROOT])
        [change] = crm.diff("0", "now")
        assert (change.path, change.change) == (ROOT, "modified")
        plan = crm.plan("0").plan
        assert [(step.op, step.path) for step in plan.steps] == [("set", ROOT)]
        result = crm.rollback()
        assert (result.modified, result.safety, result.verified) == (1, 1, True)
        assert looks(place.root) == before and crm.status().clean
        assert [one.path for one in crm.diff("0", "1")] == [ROOT]
        crm.undo()
        assert looks(place.root) == after and crm.status().clean
        crm.redo()
        assert looks(place.root) == before and crm.status().clean
        crm.checkout("1")
        assert looks(place.root) == after
    place.drop_index()
    assert place.names() == {"bin", "bin/tool"}, "it is no path below itself"
    with place.crm() as crm:
        assert crm.status().clean


@pytest.mark.slow
@pytest.mark.parametrize("last", range(4, 44, 10))
def test_it_is_old_or_new_after_a_checkout_that_died(place: Place, last: int) -> None:
    place.snapshot()
    place.root.chmod(0o700)
    place.write("bin/tool", b"other")
    place.snapshot()
    with faults(Calls(last)), pytest.raises(Killed), place.crm() as crm:
        crm.checkout("0")
    with place.crm() as crm:
        crm.recover()
        found = looks(place.root)[0], (place.root / "bin/tool").read_bytes()
        assert found in ((0o700, b"other"), (0o755, b"x"))
        assert crm.status().clean and os.listdir(place.root) == ["bin"]


@pytest.mark.slow
def test_a_checkout_of_paths_leaves_it(place: Place) -> None:
    place.snapshot()
    place.root.chmod(0o700)
    place.write("bin/tool", b"other")
    with place.crm() as crm:
        result = crm.checkout(0, ["bin/tool"])
        assert result.modified == 1
    assert looks(place.root)[0] == 0o700


@pytest.mark.slow
def test_its_times_are_no_change(place: Place) -> None:
    place.snapshot()
    os.utime(place.root, (1, 1))
    with place.crm() as crm:
        assert crm.status().clean
    assert place.snapshot() == 0


@pytest.mark.slow
def test_a_version_that_did_not_look_at_it_wants_nothing_of_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr("epmstore.record.recorder._describe_root", lambda root: None)
        place.snapshot()
    place.root.chmod(0o700)
    with place.crm() as crm:
        assert crm.status().clean, "not observed is not different"
        place.write("more")
        assert crm.snapshot().version == 1
        place.root.chmod(0o711)
        place.write("bin/tool", b"other")
        crm.checkout("0")
        assert looks(place.root)[0] == 0o711
        crm.checkout("1")
        assert looks(place.root)[0] == 0o700


@pytest.mark.slow
def test_without_root_it_stays_writable_for_us(
    unprivileged: Callable[[], AbstractContextManager[None]],
) -> None:
    """Or a staging folder would stay in it for ever."""
    codecs.lookup("ascii")  # others may not read where we are installed
    base = Path(tempfile.mkdtemp(dir="/var/tmp"))
    try:
        if IS_ROOT:
            os.chown(base, NOBODY, NOBODY)
        with unprivileged():
            place = Place(base)
            place.write("bin/tool")
            place.root.chmod(0o555)
            place.snapshot()
            place.root.chmod(0o755)
            with place.crm() as crm:
                result = crm.checkout("0")
            assert result.not_restored == (".: mode",)
            assert looks(place.root)[0] == 0o755
            assert sorted(os.listdir(place.root)) == ["bin"]
    finally:
        shutil.rmtree(base)


def test_facts_are_read_as_they_were_written(place: Place) -> None:
    fd = os.open(place.root, os.O_RDONLY)
    set_xattr(place.root, "user.\udcff", b"\0")
    entry = describe(fd, ".", ROOT, os.fstat(fd), fd=fd, owners=OwnerNames())
    os.close(fd)
    data = msgspec.json.encode(facts_of(entry))
    facts = msgspec.json.decode(data, type=type(facts_of(entry)))
    record = msgspec.json.decode(
        json.dumps(
            {"type": "version", "version": 0, "app": "a", "key": "k", "txid": "t", "tree": "0",
             "time": "t", "kind": "change", "reason": "snapshot"}
        ),
        type=VersionRecord,
    )  # fmt: skip
    assert root_of(msgspec.structs.replace(record, root=facts)) == entry
    assert root_of(record) is None
