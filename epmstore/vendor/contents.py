"""Contents of releases, from one store to another."""

from collections.abc import Iterable

from epmstore.blobs.pack import PART_THRESHOLD, GroupWriter, discard_written
from epmstore.digest import BlobInfo
from epmstore.progress import Progress
from epmstore.record.commit import store_groups
from epmstore.record.shelf import Shelf
from epmstore.record.store import Store


def copy_contents(
    source: Store, target: Store, wanted: Iterable[BlobInfo], progress: Progress
) -> tuple[int, int, int]:
    """(contents copied, their plain bytes, contents that the source does not have either).

    What is there already is not copied, nor what was purged there. Each is checked against its
    digests on the way. Raises DamagedError, CollisionError, OSError.
    """
    purged = target.contents.purged()
    with source.keep_packs(), target.keep_packs():
        missing = dict.fromkeys(target.blobs.missing(wanted))
        needed = [info for info in missing if info not in purged]
        lost = set(source.blobs.missing(needed))
        found = [info for info in needed if info not in lost]
        progress.begin("copying contents", files=len(found), size=sum(i.size for i in found))
        shelf = Shelf(target.packs, target.contents, target.blobs)
        with GroupWriter(target.packs) as writer:
            small = [info for info in found if info.size <= PART_THRESHOLD]
            for info, data in source.blobs.read_many(small):
                target.blobs.check_no_collision(info)
                writer.add(info, data)
                progress.advance(files=1, size=info.size)
            for info in found:
                if info.size > PART_THRESHOLD:
                    writer.add_large(source.blobs.stream(info), shelf.has_part)
                    progress.advance(files=1, size=info.size)
            written = writer.finish()
        try:
            with target.lock_write():
                store_groups(target, [written])
        except BaseException:
            discard_written(written)
            raise
    progress.end()
    return len(found), sum(info.size for info in found), len(lost)
