"""Somebody who watches a root, and records what was noticed, as the daemon does: through the
library, and looking only at the folders that the kernel's events would have named.
"""

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from epmstore.errorform import error_to_form
from epmstore.errors import EpmError
from epmstore.record.doubt import Share
from epmstore.workspace import Workspace
from epmstore.workspace.app.recording import recorded_result
from epmstore.workspace.shapes import result
from tests.worlds.looks import ROOT, Look, facts_of
from tests.worlds.program import Answer, descriptors

SHARES = 3


def hints(before: Look, now: Look) -> set[bytes]:
    """Folders ('' is the root) in which something happened since. Of a file with several names the
    kernel tells under the name alone through which it was changed.
    """
    found: set[bytes] = set()
    told: set[tuple[int, int]] = set()
    for path in sorted(before.keys() | now.keys()):
        was, is_ = before.get(path), now.get(path)
        is_same = was is not None and is_ is not None and was.inode == is_.inode
        if is_same and facts_of(before, path) == facts_of(now, path):
            continue
        if is_same and is_ is not None and is_.kind == "file" and is_.links > 1:
            if is_.inode in told:
                continue
            told.add(is_.inode)
        found.update(_folders(path, now))
    return found


def _folders(path: bytes, now: Look) -> Iterator[bytes]:
    yield b"" if path == ROOT or b"/" not in path else path.rsplit(b"/", 1)[0]
    if path != ROOT and path in now and now[path].kind == "directory":
        yield path


def record(store: Path, key: str, what: bytes, only: set[bytes]) -> Answer:
    """What came of a look: at the folders that were noticed (`hints`, or `poor` in a store without
    room), at everything (`all`), or at everything with a share of the files read again.
    """

    def look(workspace: Workspace) -> bytes:
        handle = workspace.app(key)
        share = Share(random.Random(what).randrange(SHARES), SHARES) if what == b"share" else None
        folders = frozenset(map(os.fsdecode, only)) if what in (b"hints", b"poor") else None
        recorded = handle.recording.record_drift(
            "event", only=folders, contents=what != b"poor", wait=0, again=share
        )
        return json.dumps(result(recorded_result(handle.app, "snapshot", recorded))).encode()

    return _answered(store, look)


def _answered(store: Path, look: Callable[[Workspace], bytes]) -> Answer:
    """As the command line would have answered."""
    began, before = time.monotonic(), descriptors()
    code, out, err = 0, b"", b""
    try:
        with Workspace.open(store, recover=False) as workspace:
            out = look(workspace)
    except OSError:
        code = EpmError.exit_code  # the daemon says what it is, and tries again
    except EpmError as error:
        code, err = error.exit_code, json.dumps(error_to_form(error)).encode()
    return Answer(code, out, err, time.monotonic() - began, descriptors() - before)
