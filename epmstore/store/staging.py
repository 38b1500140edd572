"""Which folders in a root are ours: the staging folders that the journals of this store name.

A name proves nothing, because any user may give it. A journal says which directory a checkout made
(its inode and its owner) before anything is put into it; only that directory is left out of a look,
locked or removed. Everything else that is called so is the application's, and recorded.
"""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from epmstore import codec, fsio, seal
from epmstore.atomic import read_file
from epmstore.errors import DamagedError
from epmstore.filestat import FileId
from epmstore.relpath import text_from_json
from epmstore.scan.staging_mark import stage_name

NO_SENSE: Final = (
    LookupError,
    TypeError,
    ArithmeticError,
    ValueError,
    AttributeError,
    RecursionError,
)
"""What reading a sound line raises that says something else than it should."""
ENDING: Final = ".journal"
_SMALL = 1 << 16
"""Bytes of a line that says more than steps; the first line may be longer."""


class StageProof(msgspec.Struct, frozen=True, gc=False):
    """Which directory a checkout made for staging: its inode, and the user that made it."""

    inode: int
    uid: int

    @staticmethod
    def of(found: os.stat_result) -> "StageProof":
        return StageProof(found.st_ino, found.st_uid)

    def fits(self, found: os.stat_result) -> bool:
        return stat.S_ISDIR(found.st_mode) and StageProof.of(found) == self


class NamedStage(msgspec.Struct, frozen=True):
    """A staging folder as a journal names it. `proof` is None as long as the journal does not say
    which directory it is.
    """

    root: str
    name: str
    proof: StageProof | None


def named_stages(journals: Path) -> Iterator[NamedStage]:
    """What the journals in a folder name. What cannot be read names nothing."""
    try:
        found = sorted(name for name in os.listdir(journals) if name.endswith(ENDING))
    except FileNotFoundError:
        return
    for name in found:
        try:
            lines = list(_lines(read_file(journals / name)))
            header, others = lines[0]["header"], lines[1:]
            root, folder = text_from_json(header["root"]), stage_name(header["txid"])
            proofs = [proof_from_form(line["stage"]) for line in others if "stage" in line]
        except (OSError, DamagedError, *NO_SENSE):
            continue
        if not proofs and not header.get("marked"):  # of a release that did not say which it is
            proofs = _of_old(f"{root}/{folder}", journals / name)
        yield NamedStage(root, folder, proofs[0] if proofs else None)


def own_identities(journals: Path) -> Iterator[FileId]:
    """(st_dev, st_ino) of the staging folders that are there and are what the journals name."""
    for one in named_stages(journals):
        try:
            found = os.lstat(f"{one.root}/{one.name}")
        except OSError:
            continue
        if one.proof is not None and one.proof.fits(found):
            yield found.st_dev, found.st_ino


def proof_to_form(proof: StageProof) -> dict[str, int]:
    return msgspec.structs.asdict(proof)


def proof_from_form(form: dict[str, Any]) -> StageProof:
    return StageProof(int(form["inode"]), int(form["uid"]))


def _of_old(folder: str, journal: Path) -> list[StageProof]:
    """What the journal of an older release can have meant: its writer made the folder."""
    try:
        found, writer = os.lstat(folder), os.stat(journal).st_uid
    except OSError:
        return []
    is_private = found.st_mode & 0o777 == fsio.PRIVATE
    return [StageProof.of(found)] if is_private and found.st_uid == writer else []


def _lines(data: bytes) -> Iterator[dict[str, Any]]:
    """The lines of a journal that are no long lists of steps, up to what is torn or damaged."""
    offset = 0
    while offset < len(data):
        try:
            found, body = seal.read(data, offset)
        except DamagedError:
            return
        if not offset or found.number <= _SMALL:
            yield json.loads(codec.decompress(body, found.number))
        offset = found.end
