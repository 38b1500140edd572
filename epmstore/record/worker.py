"""A reader in a process of its own, told by its parent what to read. See pool.py.

Messages are pickles with a length before them, on standard input and output; both ends are the same
program, and nobody else holds the other end. The first message is a Setting; then come lists of
tasks, and lists of what was seen go back; an empty list ends it, and the last answer is a Finished.
An error is the last answer too, as itself.

A worker ends with its parent and takes away what it wrote, unless it is killed outright.
"""

import ctypes
import os
import pickle
import signal
import struct
import sys
from pathlib import Path
from types import FrameType
from typing import IO, Any

import msgspec

from epmstore import fsio
from epmstore.blobs.pack import WrittenGroup, discard_written
from epmstore.blobs.store import PackStore
from epmstore.errors import EpmError
from epmstore.index.contents import Contents
from epmstore.index.database import Database
from epmstore.record.reading import Reader
from epmstore.record.shelf import SharedClaims, Shelf
from epmstore.relpath import RelPath

_LENGTH = struct.Struct("<Q")
_PR_SET_PDEATHSIG = 1


class Setting(msgspec.Struct, frozen=True):
    """Where to read, and where contents go (null: nowhere). Descriptors are inherited."""

    root_fd: int
    parent: int
    target: "Target | None"


class Target(msgspec.Struct, frozen=True):
    """What makes a Shelf."""

    packs: Path
    index: Path
    store_uuid: str
    claims_fd: int


class Finished(msgspec.Struct, frozen=True):
    """What a worker leaves; see Reader and Shelf."""

    group: WrittenGroup | None
    collided: list[RelPath]

    def discard(self) -> None:
        if self.group is not None:
            discard_written(self.group)


def send(fd: int, message: object) -> None:
    """Raises BrokenPipeError if nobody reads."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    fsio.write(fd, _LENGTH.pack(len(data)) + data)


def receive(pipe: IO[bytes]) -> Any:
    """Raises EOFError if the other end is gone."""
    header = pipe.read(_LENGTH.size)
    length = _LENGTH.unpack(header)[0] if len(header) == _LENGTH.size else 1
    data = pipe.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)


def main() -> None:
    with open(0, "rb", closefd=False) as pipe:
        setting: Setting = receive(pipe)
        _die_with(setting.parent)
        try:
            answer: object = _work(setting, pipe)
        except EOFError:
            return
        except (OSError, EpmError) as error:
            answer = error
        try:
            send(1, answer)
        except BaseException:
            if isinstance(answer, Finished):
                answer.discard()
            raise


def _die_with(parent: int) -> None:
    signal.signal(signal.SIGTERM, _leave)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)


def _leave(number: int, frame: FrameType | None) -> None:
    """Ends whatever is being done, by the way that takes temporaries away."""
    sys.exit(128 + number)


def _work(setting: Setting, pipe: IO[bytes]) -> Finished:
    shelf = None if setting.target is None else _shelf(setting.target)
    with Reader(setting.root_fd, shelf) as reader:
        tasks = receive(pipe)
        while tasks:
            seen = reader.read(tasks)
            # Taken before the answer goes out: its sender must not wait for us while we wait for
            # it to listen.
            tasks = receive(pipe)
            send(1, seen)
        return Finished(reader.finish(), [] if shelf is None else shelf.collided)


def _shelf(target: Target) -> Shelf:
    contents = Contents(Database(target.index, target.store_uuid))
    blobs = PackStore(target.packs, contents)
    return Shelf(target.packs, contents, blobs, SharedClaims(target.claims_fd))
