"""A BlobReader in memory, which keeps the contract of the ones on disk."""

from collections.abc import Iterable, Iterator

from epmstore.digest import BlobInfo, Digest, Sha256, check_no_collision, identify
from epmstore.errors import BlobNotFoundError

PIECE = 1 << 20


class MemoryBlobs:
    """Contents in a dictionary."""

    def __init__(self) -> None:
        self._contents: dict[Sha256, tuple[BlobInfo, bytes]] = {}
        self._addresses: dict[Digest, BlobInfo] = {}

    def put(self, data: bytes) -> BlobInfo:
        """Raises CollisionError if another content has this address."""
        info = identify(data)
        check_no_collision(self._addresses.setdefault(info.digest, info), info)
        self._contents[info.sha256] = (info, data)
        return info

    def has(self, info: BlobInfo) -> bool:
        return self._contents.get(info.sha256, (None,))[0] == info

    def missing(self, infos: Iterable[BlobInfo]) -> list[BlobInfo]:
        return [info for info in infos if not self.has(info)]

    def read(self, info: BlobInfo) -> bytes:
        if not self.has(info):
            raise BlobNotFoundError(
                f"no content {info.digest.hex()} is stored", digest=info.digest.hex()
            )
        return self._contents[info.sha256][1]

    def stream(self, info: BlobInfo) -> Iterator[bytes]:
        data = self.read(info)
        for at in range(0, len(data), PIECE):
            yield data[at : at + PIECE]

    def read_many(self, wanted: Iterable[BlobInfo]) -> Iterator[tuple[BlobInfo, bytes]]:
        for info in dict.fromkeys(wanted):
            yield info, self.read(info)
