"""Whether what is about to be recorded is still being written.

A file that a process has open for writing, and wrote to a moment ago, may be half done: a copy, a
download, an archive being unpacked. The kernel's events tell of most of them; of those that were
opened before they were watched, /proc does.
"""

import os
import stat
from collections.abc import Callable
from typing import TypeAlias

from epmstore.catalog.appcat import App
from epmstore.catalog.classes import Rules
from epmstore.scan.writers import Writers, writers_below
from epmstored.debounce import Batch

IsHalfDone: TypeAlias = Callable[[App, Batch, float], bool]
"""Whether something of a batch is half done: what changed before a time (since 1970) is not."""


def look_at_writers(app: App, since: float) -> Writers:
    """Files whose contents are recorded, and no others. Takes milliseconds: for a thread."""
    found = writers_below(os.path.realpath(app.root), since)
    rules = Rules(app.patterns, app.noisy)
    counted = {path for path in found.paths if rules.classify(path) not in ("ignore", "state")}
    return Writers(frozenset(counted), found.incomplete)


def still_written(app: App, batch: Batch, since: float) -> frozenset[str]:
    """Paths of a batch, which is recorded now, that are half done as far as can be told. In a
    thread.
    """
    writers = look_at_writers(app, since)
    told = batch.writing if writers.incomplete else frozenset()
    return writers.paths | {p for p in told if _is_fresh(os.path.join(app.root, p), since)}


def needs_a_look(batch: Batch) -> bool:
    """Whether events alone do not say that everything in it is done."""
    return batch.unsure or bool(batch.writing)


def is_half_done(app: App, batch: Batch, since: float) -> bool:
    """In a thread. Where not every process can be looked into, what events told is believed, of
    files that may be open: the kernel says "modified" of a symlink whose times are set, too.
    """
    writers = look_at_writers(app, since)
    told = (os.path.join(app.root, path) for path in batch.writing)
    return bool(writers.paths) or (writers.incomplete and any(_is_fresh(p, since) for p in told))


def _is_fresh(path: str, since: float) -> bool:
    """Whether there is a regular file that changed at or after a time."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_ctime >= since
