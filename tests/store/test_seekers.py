"""Each place where contents may be, held against the contract of all."""

import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

from epmstore.care import live_sources, restore
from epmstore.care.live_sources import LiveFiles
from epmstore.care.restore import CopiedContents
from epmstore.digest import BlobInfo, identify
from epmstore.errors import EpmError, UsageError
from epmstore.progress import SILENT
from epmstore.refcat.seekers import seeker_at
from epmstore.store.seeking import ContentOffer, Seeker, fetch_contents, find_contents
from epmstore.store.store import Store
from epmstore.workspace import Workspace
from tests.store.seekers import HAD, LARGE, SeekerContract, named


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def recorded(folder: Path, files: Mapping[str, bytes]) -> Store:
    """A store that has recorded a root with these files."""
    ws = Workspace.init(folder / "other")
    ws.apps.add("crm", write(folder / "root", files))
    ws.app("crm").snapshot()
    return ws._store


class Remembered:
    """A Seeker in memory, the plainest one; `breaks` is a content that cannot be read."""

    def __init__(self, contents: Collection[bytes], breaks: bytes | None = None) -> None:
        self._contents = contents
        self._breaks = breaks

    def __str__(self) -> str:
        return "memory"

    def offers(self, wanted: Collection[BlobInfo]) -> Iterator[ContentOffer]:
        sizes = {info.size for info in wanted}
        for data in self._contents:
            if len(data) in sizes:
                yield ContentOffer(len(data), self._pieces(data))

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        yield data[:2]
        if data == self._breaks:
            raise EpmError("it cannot be read")
        yield data[2:]


class TestRemembered(SeekerContract):
    def seeker(self, folder: Path, files: Mapping[str, bytes]) -> Seeker:
        return Remembered(files.values())

    def test_an_error_of_a_place_is_raised_and_nothing_stored(self, store: Store) -> None:
        place = Remembered(HAD.values(), breaks=HAD["deep/b"])
        with pytest.raises(EpmError, match="cannot be read"):
            fetch_contents(store, named("a", "deep/b"), place, SILENT)
        assert store.contents.is_empty()


class TestFolder(SeekerContract):
    def seeker(self, folder: Path, files: Mapping[str, bytes]) -> Seeker:
        (folder / "link").symlink_to("a")
        return seeker_at(write(folder, files))


class TestArchive(SeekerContract):
    def seeker(self, folder: Path, files: Mapping[str, bytes]) -> Seeker:
        made = shutil.make_archive(str(folder / "packed"), "tar", write(folder / "files", files))
        return seeker_at(Path(made))

    def test_a_file_that_is_no_archive_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "text").write_bytes(b"no archive")
        with pytest.raises(UsageError, match="neither a folder nor an archive"):
            find_contents(named("a"), seeker_at(tmp_path / "text"), SILENT)


class TestLiveFiles(SeekerContract):
    @pytest.fixture(autouse=True)
    def little_as_well(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live_sources, "PART_THRESHOLD", LARGE)

    def seeker(self, folder: Path, files: Mapping[str, bytes]) -> Seeker:
        return LiveFiles(recorded(folder, files))

    def test_files_that_changed_since_offer_nothing_right(self, tmp_path: Path) -> None:
        place = self.seeker(tmp_path, HAD)
        (tmp_path / "root/a").write_bytes(b"two")
        (tmp_path / "root/large").write_bytes(HAD["large alike"])
        (tmp_path / "root/empty").unlink()
        wanted = named("a", "large", "empty", "deep/b")
        assert find_contents(wanted, place, SILENT) == named("deep/b")

    def test_a_root_that_is_not_there_offers_nothing(self, tmp_path: Path) -> None:
        place = self.seeker(tmp_path, HAD)
        (tmp_path / "root").rename(tmp_path / "moved")
        assert find_contents(named("a"), place, SILENT) == set()


class TestCopiedContents(SeekerContract):
    @pytest.fixture(autouse=True)
    def little_as_well(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(restore, "PART_THRESHOLD", LARGE)

    def seeker(self, folder: Path, files: Mapping[str, bytes]) -> Seeker:
        return CopiedContents(recorded(folder, files))

    def test_damaged_contents_are_not_offered_as_found(self, tmp_path: Path) -> None:
        store = recorded(tmp_path, {"a": b"one"})
        [pack] = [path for path in store.packs.rglob("*") if path.is_file() and path.stat().st_size]
        data = bytearray(pack.read_bytes())
        data[data.index(b"one")] ^= 1
        pack.write_bytes(data)
        assert find_contents({identify(b"one")}, CopiedContents(store), SILENT) == set()
