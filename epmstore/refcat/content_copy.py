"""Contents of releases, from one store to another."""

from collections.abc import Iterable

from epmstore.blobs.pack import PART_THRESHOLD
from epmstore.digest import BlobInfo
from epmstore.progress import Progress
from epmstore.store.deposit import Deposit
from epmstore.store.store import Store


def copy_contents(
    source: Store, target: Store, wanted: Iterable[BlobInfo], progress: Progress
) -> tuple[int, int, int]:
    """(contents copied, their plain bytes, contents that the source does not have either).

    What is there already is not copied, nor what was purged there. Each is checked against its
    digests on the way. Raises DamagedError, CollisionError, OSError.
    """
    purged = target.contents.purged()
    with source.keep_packs(), Deposit(target) as deposit:
        missing = dict.fromkeys(target.blobs.missing(wanted))
        needed = [info for info in missing if info not in purged]
        lost = set(source.blobs.missing(needed))
        found = [info for info in needed if info not in lost]
        progress.begin("copying contents", files=len(found), size=sum(i.size for i in found))
        small = [info for info in found if info.size <= PART_THRESHOLD]
        for info, data in source.blobs.read_many(small):
            deposit.add(info, data)
            progress.advance(files=1, size=info.size)
        for info in found:
            if info.size > PART_THRESHOLD:
                deposit.add_stream(source.blobs.stream(info), info.size)
                progress.advance(files=1, size=info.size)
        deposit.commit()
    progress.end()
    return len(found), sum(info.size for info in found), len(lost)
