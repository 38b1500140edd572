"""What every BlobReader does. A subclass says how a reader is made that holds given contents."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import pytest

from epmstore.blobs.interface import BlobReader
from epmstore.digest import BlobInfo, identify
from epmstore.errors import BlobNotFoundError
from tests.blobs.table import noise, text

CONTENTS = [b"", b"a", b"two words", text(500), text(500) + b"!", noise(5000), bytes(30_000)]


class BlobReaderContract(ABC):
    @abstractmethod
    def reader(self, folder: Path, contents: Sequence[bytes]) -> BlobReader:
        """One that holds these contents."""

    def test_stored_contents_come_back(self, tmp_path: Path) -> None:
        reader = self.reader(tmp_path, CONTENTS)
        for data in CONTENTS:
            assert reader.has(identify(data))
            assert reader.read(identify(data)) == data
            assert b"".join(reader.stream(identify(data))) == data

    def test_many_come_once_each(self, tmp_path: Path) -> None:
        reader = self.reader(tmp_path, CONTENTS)
        wanted = [identify(data) for data in CONTENTS]
        found = list(reader.read_many([*wanted, *reversed(wanted)]))
        assert len(found) == len(CONTENTS)
        assert dict(found) == dict(zip(wanted, CONTENTS, strict=True))

    def test_none_of_many(self, tmp_path: Path) -> None:
        assert list(self.reader(tmp_path, CONTENTS).read_many([])) == []

    @pytest.mark.parametrize("held", [[], CONTENTS])
    def test_contents_never_stored_are_not_found(self, tmp_path: Path, held: list[bytes]) -> None:
        reader = self.reader(tmp_path, held)
        missing = identify(b"never stored")
        assert not reader.has(missing)
        with pytest.raises(BlobNotFoundError):
            reader.read(missing)
        with pytest.raises(BlobNotFoundError):
            list(reader.stream(missing))
        with pytest.raises(BlobNotFoundError):
            list(reader.read_many([missing]))
        assert reader.missing([missing, *map(identify, held)]) == [missing]

    def test_size_is_part_of_identity(self, tmp_path: Path) -> None:
        reader = self.reader(tmp_path, CONTENTS)
        known = identify(CONTENTS[2])
        wrong = BlobInfo(known.digest, known.sha256, known.size + 1)
        assert not reader.has(wrong)
        assert reader.missing([known, wrong]) == [wrong]
        with pytest.raises(BlobNotFoundError):
            reader.read(wrong)
