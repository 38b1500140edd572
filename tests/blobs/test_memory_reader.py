from collections.abc import Sequence
from pathlib import Path

from epmstore.blobs.interface import BlobReader
from epmstore.blobs.memory_reader import MemoryBlobs
from tests.blobs.contract import BlobReaderContract


class TestMemoryBlobs(BlobReaderContract):
    def reader(self, folder: Path, contents: Sequence[bytes]) -> BlobReader:
        blobs = MemoryBlobs()
        for data in contents:
            blobs.put(data)
        return blobs
