from collections.abc import Sequence
from pathlib import Path

from epmstore.blobs.interface import BlobReader
from tests.blobs.contract import BlobReaderContract
from tests.kit.memory_blobs import MemoryBlobs


class TestMemoryBlobs(BlobReaderContract):
    def reader(self, folder: Path, contents: Sequence[bytes]) -> BlobReader:
        blobs = MemoryBlobs()
        for data in contents:
            blobs.put(data)
        return blobs
