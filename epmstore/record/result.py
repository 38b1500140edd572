"""What an operation that may have changed something says it did: the `result` of docs/json.md."""

from typing import Literal, TypeAlias

import msgspec

from epmstore.catalog.hooks import HookRun
from epmstore.catalog.model import Counts
from epmstore.relpath import RelPath
from epmstore.scan.problem import Problem
from epmstore.store.seeking import CameFrom

Action: TypeAlias = Literal[
    "snapshot", "run", "checkout", "rollback", "undo", "redo", "repair", "apply", "edit", "recover",
    "install", "upgrade", "downgrade", "uninstall", "adopt", "parameter", "merge",
]  # fmt: skip


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """`from_` is the version that was live before, `version` the one that is live now, `of` the one
    whose content was brought back, `safety` the one recorded just before. `meanwhile` are versions
    of what other processes wrote while a checkout was under way.

    `added`, `modified` and `removed` count paths, `folders` those of them that are no files (None:
    not counted), `times` those that were modified in their time alone.

    `kept` pairs a path with why it was neither written nor removed. `unobserved` paths could not be
    looked at; `not_restored` names what the privilege at hand did not allow. `hooks` ran around it;
    `confirm_by` is when it is undone unless it is confirmed; `packages` of the system own paths
    that it changed; `held` says that automation leaves the application alone from now on. `came`
    says from where contents came that the store lacked, or could not read. `transaction` are the
    keys of the applications that went together with this one, itself among them, who is needed
    first; `others` is what it came to for them, where one was asked for.
    """

    app: str
    action: Action
    changed: bool
    from_: int | None = None
    version: int | None = None
    of: int | None = None
    safety: int | None = None
    meanwhile: tuple[int, ...] = ()
    label: str | None = None
    added: int = 0
    modified: int = 0
    removed: int = 0
    folders: Counts | None = None
    times: int = 0
    kept: tuple[tuple[RelPath, str], ...] = ()
    skipped: tuple[Problem, ...] = ()
    unstable: tuple[RelPath, ...] = ()
    unobserved: tuple[Problem, ...] = ()
    not_restored: tuple[str, ...] = ()
    collisions: tuple[RelPath, ...] = ()
    verified: bool | None = None
    undo: str | None = None
    exit_status: int | None = None
    hooks: tuple[HookRun, ...] = ()
    confirm_by: str | None = None
    packages: tuple[str, ...] = ()
    held: bool = False
    came: tuple[CameFrom, ...] = ()
    transaction: tuple[str, ...] = ()
    others: tuple["Result", ...] = ()

    @property
    def incomplete(self) -> bool:
        """Whether something that should have been done was not (exit code 3)."""
        return bool(self.unstable or self.not_restored or any(p.is_gap for p in self.unobserved))
