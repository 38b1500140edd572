"""For each of the nine rules a bug of our own, brought about on purpose: the rule notices it."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from epmstore import fsio, owned
from epmstore.catalog import retention
from epmstore.checkout.apply import Applier
from epmstore.cli import live as cli_live
from epmstore.cli import result_line, summary
from epmstore.record.recorder import Recorder
from epmstore.workspace import shapes as cli_shapes
from epmstore.workspace.app import restoring
from epmstore.workspace.care import Care
from tests.worlds import campaign
from tests.worlds.acts import Act, Command, Second, Setting
from tests.worlds.edits import Edit

Patch = pytest.MonkeyPatch


class Bug(NamedTuple):
    """`make` brings it about; what is done then is enough to show it."""

    rule: int
    make: Callable[[Patch], None]
    acts: tuple[Act, ...]
    setting: Setting = Setting()


def ignored_files_go(patch: Patch) -> None:
    """A checkout takes away what no version ever saw."""
    apply = Applier.apply

    def bad(self: Applier, *args: Any) -> Any:
        os.unlink("up/u", dir_fd=self._root.fd)
        return apply(self, *args)

    patch.setattr(Applier, "apply", bad)


def counted_from_nowhere(patch: Patch) -> None:
    shape = cli_shapes.result
    patch.setattr(summary, "result_shape", lambda result: {**shape(result), "modified": 7})


def lines_that_cannot_be_read(patch: Patch) -> None:
    snapshot = Recorder.snapshot

    def bad(self: Recorder, root: Any, intent: Any, **said: Any) -> Any:
        found = snapshot(self, root, intent, **said)
        catalog = self.store.catalog(self.app.uuid).path
        os.truncate(catalog, catalog.stat().st_size // 2)
        return found

    patch.setattr(Recorder, "snapshot", bad)


def rollback_flips(patch: Patch) -> None:
    patch.setattr(restoring, "rollback_target", lambda versions, **said: versions[-2].version)


def dry_runs_say_yes(patch: Patch) -> None:
    patch.setattr(cli_live, "outlook", lambda *args: 0)


def other_numbers_in_text(patch: Patch) -> None:
    line = result_line.closing_line

    def bad(result: Any, **said: Any) -> str:
        return line(result, **said).replace("1 file", "2 files")

    patch.setattr(summary, "closing_line", bad)


def files_beside_the_root_change(patch: Patch) -> None:
    apply = Applier.apply

    def bad(self: Applier, *args: Any) -> Any:
        os.close(os.open("../outside/mine", os.O_WRONLY | os.O_TRUNC, dir_fd=self._root.fd))
        return apply(self, *args)

    patch.setattr(Applier, "apply", bad)


def a_descriptor_is_left(patch: Patch) -> None:
    opened = fsio.open_root

    def bad(path: Any) -> int:
        os.dup(fd := opened(path))
        return fd

    patch.setattr(fsio, "open_root", bad)


def what_was_noticed_is_not_looked_at(patch: Patch) -> None:
    snapshot = Recorder.snapshot

    def bad(self: Recorder, root: Any, intent: Any, *, only: Any = None, **said: Any) -> Any:
        fewer = None if only is None else {*only} - {"d"}
        return snapshot(self, root, intent, only=fewer, **said)

    patch.setattr(Recorder, "snapshot", bad)


def pins_hold_nothing(patch: Patch) -> None:
    patch.setattr(retention, "_own", lambda point, policy, now: [])


def what_is_purged_stays(patch: Patch) -> None:
    purge = Care.purge

    def bad(self: Care, *args: Any, **said: Any) -> Any:
        return purge(self, *args, **{**said, "dry_run": True})

    patch.setattr(Care, "purge", bad)


def a_store_of_others_is_believed(patch: Patch) -> None:
    patch.setattr(owned, "is_ours", lambda uid: True)


def what_another_store_staged_goes(patch: Patch) -> None:
    apply = Applier.apply

    def bad(self: Applier, *args: Any) -> Any:
        for name in os.listdir(self._root.fd):
            if name.startswith(".epm-"):
                shutil.rmtree(name, dir_fd=self._root.fd)
        return apply(self, *args)

    patch.setattr(Applier, "apply", bad)


def an_error_of_nobody(patch: Patch) -> None:
    def bad(self: Recorder, root: Any) -> Any:
        raise ValueError("no such thing")

    patch.setattr(Recorder, "status", bad)


def write(path: bytes, content: bytes) -> Edit:
    return Edit("write", path, content)


def done(*words: bytes, **more: Any) -> Command:
    return Command(words, **more)


SNAPSHOT = done(b"snapshot")
CHANGED = (write(b"a", b"one"), SNAPSHOT, write(b"a", b"two"), SNAPSHOT)
NOTICED = done(b"watched", b"hints")
BACK = done(b"checkout", b"--", b"0")
CUT_OFF = Second((b"checkout", b"--", b"0"), kill=30)
BUGS = {
    "ignored files go": Bug(
        1, ignored_files_go, (write(b"up/u", b"row"), *CHANGED, BACK), Setting((("ignore", "up/"),))
    ),
    "counted from nowhere": Bug(2, counted_from_nowhere, (*CHANGED, BACK)),
    "lines that cannot be read": Bug(3, lines_that_cannot_be_read, CHANGED[:2]),
    "rollback flips": Bug(
        4, rollback_flips, (*CHANGED, write(b"a", b"x1"), SNAPSHOT, *(3 * (done(b"rollback"),)))
    ),
    "dry runs say yes": Bug(
        5, dry_runs_say_yes, (*CHANGED, BACK), Setting(patterns=(("secret", "a"),))
    ),
    "other numbers in text": Bug(6, other_numbers_in_text, (*CHANGED, BACK._replace(text=True))),
    "files beside the root change": Bug(7, files_beside_the_root_change, (*CHANGED, BACK)),
    "a descriptor is left": Bug(8, a_descriptor_is_left, CHANGED),
    "what was noticed is not looked at": Bug(
        2,
        what_was_noticed_is_not_looked_at,
        (write(b"d/x", b"one"), NOTICED, Edit("overwrite", b"d/x", b"two"), NOTICED),
    ),
    "pins hold nothing": Bug(
        1, pins_hold_nothing, (*CHANGED, done(b"pin", b"--", b"0"), done(b"forget", b"--", b"0"))
    ),
    "a store of others is believed": Bug(
        2, a_store_of_others_is_believed, (*CHANGED, SNAPSHOT._replace(foreign=True))
    ),
    "what another store staged goes": Bug(
        7,
        what_another_store_staged_goes,
        (*CHANGED, Second((b"snapshot",)), write(b"a", b"x1"), CUT_OFF, SNAPSHOT, BACK),
    ),
    "what is purged stays": Bug(
        2, what_is_purged_stays, (*CHANGED, done(b"purge", b"--yes", b"--", b"a"))
    ),
    "an error of nobody": Bug(9, an_error_of_nobody, (*CHANGED, BACK)),
}


@pytest.fixture(autouse=True)
def as_a_host() -> Iterator[None]:
    with campaign.set_up():
        yield


@pytest.mark.slow
@pytest.mark.parametrize("name", BUGS)
def test_a_bug_is_noticed_by_its_rule(name: str, monkeypatch: Patch) -> None:
    bug = BUGS[name]
    assert not campaign.again(bug.setting, bug.acts), "without the bug nothing is broken"
    bug.make(monkeypatch)
    broken = campaign.again(bug.setting, bug.acts)
    assert bug.rule in {one.rule for one in broken}, broken
