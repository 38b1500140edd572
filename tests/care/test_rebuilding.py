"""While an index is made anew, whoever reads sees the old one, and then the new one."""

import os
from pathlib import Path

import pytest

from epmstore import fsio, sqlite
from tests.kit.worn import WornHost


def test_a_reader_sees_a_whole_history_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = WornHost(tmp_path)
    host.history(4)
    seen: list[tuple[int, bool]] = []
    with host.open() as reader, host.open() as ws:

        def look(*_: object) -> None:
            fsio.install_fault(None)
            handle = reader.app("crm")
            content = next(e.content for e in handle.ls("0") if e.content is not None)
            seen.append((len(handle.versions()), reader._store.blobs.has(content)))
            fsio.install_fault(look)

        trace = sqlite.open_writer

        def open_writer(path: Path) -> object:
            connection = trace(path)
            connection.set_trace_callback(look)
            return connection

        monkeypatch.setattr(sqlite, "open_writer", open_writer)
        fsio.install_fault(look)
        try:
            ws.care.rebuild()
        finally:
            fsio.install_fault(None)
    assert len(seen) > 20
    assert set(seen) == {(4, True)}
    host.check()


def test_an_index_that_cannot_be_made_anew_stays(tmp_path: Path) -> None:
    host = WornHost(tmp_path)
    host.history(3)
    before = os.stat(host.path / "index.sqlite").st_ino

    def full(call: str, arguments: tuple[object, ...]) -> None:
        if call == "fsync":
            raise OSError(28, os.strerror(28))

    with host.open() as ws:
        fsio.install_fault(full)
        try:
            with pytest.raises(OSError, match="space"):
                ws.care.rebuild()
        finally:
            fsio.install_fault(None)
    assert os.stat(host.path / "index.sqlite").st_ino == before
    host.check()
    with host.open() as ws:
        ws.care.rebuild()
    assert [path.name for path in host.path.glob("index*")] == ["index.sqlite"]
    host.check()
