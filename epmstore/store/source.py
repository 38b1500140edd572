"""Where the contents of a store are, for another process of ours that opens it."""

from pathlib import Path
from typing import Self

import msgspec

from epmstore.blobs.blob_store import PackStore
from epmstore.index.contents import Contents
from epmstore.index.database import Database


class StoreSource(msgspec.Struct, frozen=True):
    """Paths of `packs/` and of the index, and whose index that must be."""

    packs: Path
    index: Path
    store_uuid: str

    @classmethod
    def of(cls, packs: Path, contents: Contents) -> Self:
        database = contents.database
        return cls(packs, database.path, database.store_uuid)

    def open(self) -> tuple[Contents, PackStore]:
        """What reads them. Nothing is opened before it is asked."""
        contents = Contents(Database(self.index, self.store_uuid))
        return contents, PackStore(self.packs, contents)
