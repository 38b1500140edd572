"""What a check of a store found, as values: the `finding` of docs/json.md. Pure."""

from typing import Literal, TypeAlias

import msgspec

DamageKind: TypeAlias = Literal["damaged", "missing", "collision", "torn", "chain"]
Hit: TypeAlias = tuple[str, int]
"""(key of an application, version)"""


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong. `file` is the path below the store. `digest` and `sha256` (hex) name
    the content that is hit, None where it is the file as such; `versions` those that cannot be
    restored (in full) because of it. `detail` is for people.

    damaged: bytes are not what was written. missing: a file or content is not there. torn: a file
    ends before what it held. chain: catalog lines that do not follow each other, or whose tree does
    not have the recorded sum. collision: two contents with one SHA-1.
    """

    kind: DamageKind
    file: str
    detail: str
    digest: str | None = None
    sha256: str | None = None
    versions: tuple[Hit, ...] = ()
    repaired: bool = False


class FsckReport(msgspec.Struct, frozen=True, kw_only=True):
    """`notes` are no damage: torn tails beyond what was acknowledged. `frames` were read and
    decoded; `seed` chose them: the same seed and share choose the same again. `came` says from
    where how many contents came, where a repair stored them anew.
    """

    findings: tuple[Damage, ...]
    notes: tuple[str, ...] = ()
    frames: int = 0
    seed: int = 0
    came: tuple[tuple[str, int], ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong that has not been repaired."""
        return all(finding.repaired for finding in self.findings)
