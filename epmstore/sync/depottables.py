"""Tables of packs in a depot: what lies where in them.

A table is an object of its own, and is the footer of its pack, byte for byte (the sealed record).
One that came once is kept in `remotes/<name>/tables/`, by its digest. It is a hint, however
it came: what is read by it is held against the digests of what is sought.
"""

import contextlib
import hashlib

from epmstore import seal
from epmstore.atomic import make_directories, read_file, replace_file
from epmstore.blobs import footer, frames
from epmstore.errors import BadObjectError, DamagedError
from epmstore.pack_table import GroupTable
from epmstore.remotes.checked import read_checked
from epmstore.remotes.remote import Remote
from epmstore.seal import SIZE, RecordKind
from epmstore.sync.heads import TABLE_MAX, ObjectRef, PackRef
from epmstore.sync.registry import RemoteRecord

PLAIN_MAX = 16 << 20
"""Plain bytes of a table."""
TRAILER = SIZE + 32


def read_table_object(data: bytes, pack: PackRef, name: str) -> GroupTable:
    """The table of a pack. Raises BadObjectError unless it may be one of this very pack."""
    try:
        found = seal.parse(data)
        if found.kind is not RecordKind.FOOTER or found.end != len(data):
            raise DamagedError("it is no table")
        if found.number > PLAIN_MAX:
            raise DamagedError(f"it comes to {found.number} bytes")
        body = memoryview(data)[found.body_offset :]
        seal.check(found, body)
        group = footer.decode(found, body)
        if group.length + TRAILER != pack.size:
            raise DamagedError("it is of another pack")
        if any(frame.plain_size > frames.LARGEST for frame in group.frames):
            raise DamagedError("it says that a frame comes to more than any does")
    except DamagedError as error:
        raise BadObjectError(f"{name} is no table: {error.message}", object=name) from None
    return group


class DepotTables:
    """The tables of one depot: those that are kept here, and others from its remote."""

    def __init__(self, record: RemoteRecord) -> None:
        self._folder = record.folder / "tables"

    def known(self, pack: PackRef) -> GroupTable | None:
        """A table that is kept here; None if it is not. Raises OSError."""
        data = self.data(pack.table)
        if data is not None:
            with contextlib.suppress(BadObjectError):
                return read_table_object(data, pack, pack.table.sha256)
        return None

    def data(self, table: ObjectRef) -> bytes | None:
        """The bytes of one that is kept here, if they are right."""
        try:
            data = read_file(self._folder / table.sha256, TABLE_MAX)
        except (FileNotFoundError, NotADirectoryError, DamagedError):
            return None
        return data if hashlib.sha256(data).hexdigest() == table.sha256 else None

    def get(self, remote: Remote, pack: PackRef, name: str) -> GroupTable:
        """A table, from the remote if it is not kept here; then it is. Raises BadObjectError,
        RemoteError.
        """
        known = self.known(pack)
        if known is not None:
            return known
        data = read_checked(remote, name, pack.table.size, pack.table.sha256)
        group = read_table_object(data, pack, name)
        with contextlib.suppress(OSError):  # it comes from the remote again
            self.keep(pack.table, data)
        return group

    def keep(self, table: ObjectRef, data: bytes) -> None:
        """Raises OSError."""
        make_directories(self._folder)
        replace_file(self._folder / table.sha256, data)
