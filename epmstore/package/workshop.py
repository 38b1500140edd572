"""A store that lasts as long as a piece of work: what is packed or unpacked lies there meanwhile.

It is private, has no applications, and is gone afterwards with all that is in it.
"""

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

from epmstore.atomic import directory, make_directories
from epmstore.checkout.target import remove_tree
from epmstore.clock import Clock
from epmstore.relpath import STAGE_PREFIX
from epmstore.store import identity
from epmstore.store.replay import catch_up
from epmstore.store.store import Store, prepare


@contextlib.contextmanager
def workshop(folder: Path, clock: Clock) -> Iterator[Store]:
    """An empty store below `folder`. Raises OSError."""
    make_directories(folder)
    path = folder / f"{STAGE_PREFIX}{secrets.token_hex(8)}"
    try:
        prepare(path)
        with Store(path, identity.create(path, ""), clock) as store:
            with store.lock_write():
                catch_up(store)
            yield store
    finally:
        with contextlib.suppress(FileNotFoundError), directory(folder) as parent:
            remove_tree(path.name, parent)
