"""A host of the pipeline, as a program: prepares and uploads until all is done, or it is killed.

`python -m tests.publish.host SPOOL NAME SEED BUILDS`. A SEED of 0 lives on; another dies at a call,
or at a byte, that it chooses.
"""

import os
import random
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from epmstore import fsio
from epmstore.clock import SystemClock
from epmstore.errors import BusyError
from epmstore.publish import watchedremote
from epmstore.publish.build import Author
from epmstore.publish.desk import ReleaseDesk
from epmstore.publish.transfer import StallLimits

FEW = 10
PERIOD = threading.Event()
"""Never set: what the timers of a host wait for."""


class Doom:
    """Kills this process at the `left`-th thing that it does."""

    def __init__(self, left: int) -> None:
        self.left = left

    def step(self, *_: object) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def doomed(doom: Doom) -> None:
    """From now on calls that change files count, and pieces that go or come."""
    fsio.install_fault(doom.step)
    before = watchedremote.WatchedRemote.count

    def count(remote: Any, piece: bytes) -> None:
        before(remote, piece)
        doom.step()

    watchedremote.WatchedRemote.count = count  # type: ignore[method-assign,assignment]


def rounds(desk: ReleaseDesk) -> Iterator[Iterable[object]]:
    while True:
        yield desk.prepare(at_once=True)
        yield desk.upload(at_once=True, patience=StallLimits(tick=0.05))


def main(spool: str, name: str, seed: str, builds: str) -> None:
    if int(seed):
        most = 30 if int(builds) < FEW else 120  # to prepare one build takes more than 30
        doomed(Doom(random.Random(int(seed)).randrange(1, most)))
    desk = ReleaseDesk(Path(spool), Author(f"rel-{name}", name), SystemClock())
    for one in rounds(desk):
        try:
            for _ in one:
                pass
        except BusyError:
            PERIOD.wait(0.1)  # another host prepares
        if len(desk.list(["done"])) == int(builds) and not os.listdir(desk.spool.upload):
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
