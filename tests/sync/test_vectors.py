"""A depot of format 1 that was written once is read for good: tests/fixtures/depot-format-1."""

import hashlib
import os
from pathlib import Path

from epmstore.catalog.model import START
from epmstore.remotes.checked import read_checked, read_small
from epmstore.remotes.folder_remote import FolderRemote
from epmstore.sync.depot import head_name, key_name, open_depot
from epmstore.sync.heads import HEAD_MAX, KEY_MAX, read_head, read_writer_key
from epmstore.sync.segmentchild import SegmentOrder, examine_segment
from tests.sync.writers import CRM, DEPOT, NOW

PLACE = Path(__file__).parents[1] / "fixtures/depot-format-1"


def test_a_depot_of_format_1_is_read() -> None:
    [writer] = os.listdir(PLACE / "hosts")
    remote = FolderRemote(PLACE)
    assert open_depot(remote, "fixture").depot == DEPOT
    key = read_writer_key(read_small(remote, key_name(writer), KEY_MAX), writer)
    found = read_head(read_small(remote, head_name(writer), HEAD_MAX), writer, DEPOT, key, NOW)
    assert (found.head.number, found.head.prev, found.head.epmstore) == (1, None, "0.1.0")
    app = found.head.app(CRM)
    assert app is not None and (app.key, app.root, app.lines) == ("crm", "/opt/crm", 3)
    [segment] = app.segments
    name = segment.name(writer, CRM)
    data = read_checked(remote, name, segment.size, segment.sha256)
    fd = os.open(PLACE / name, os.O_RDONLY)
    [verdict] = examine_segment(SegmentOrder(fd, 0, START.seq, START.head))
    os.close(fd)
    remote.close()
    assert (verdict.lines, verdict.line) == (app.lines, app.line)
    assert {o.name for o in FolderRemote(PLACE).list("")} == {
        "EPMSTORE", key_name(writer), head_name(writer), name,
    }  # fmt: skip
    line = found.data.partition(b"\n")[0] + b"\n"
    assert found.digest == hashlib.sha256(line).hexdigest() and data
