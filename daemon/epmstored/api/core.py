"""What the API needs of the daemon around it, and what it is given to work with."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from epmstore.errors import ConflictError
from epmstore.workspace import Workspace
from epmstore.workspace.shapes import Shape
from epmstored.api.peers import Peer
from epmstored.app_state import AppState
from epmstored.room import AMPLE, Room

T = TypeVar("T")


class Core(Protocol):
    """The daemon, as far as the API knows it (epmstored.supervisor). Only from the event loop."""

    @property
    def waiting_settings(self) -> Sequence[str]:
        """Dotted keys of settings that were changed, and count from the next start."""
        ...

    def states(self) -> Sequence[AppState]:
        """Of every application, in order of keys. Quick."""
        ...

    async def pause(self, key: str, by: str) -> None:
        """Record an application no more. Raises AppNotFoundError, OSError."""
        ...

    async def resume(self, key: str) -> None:
        """Record it again, with what changed meanwhile. Raises AppNotFoundError, OSError."""
        ...

    def hint(self, key: str, folders: Collection[str]) -> None:
        """A look at a root found a difference in these folders. Raises AppNotFoundError."""
        ...

    async def reload(self) -> None:
        """Watch the applications that there are now. Raises DamagedError."""
        ...


class WorkspaceThread(Protocol):
    """A thread with a workspace (epmstored.bridge.Bridge)."""

    async def run(self, call: Callable[[Workspace], T]) -> T:
        """The result of `call`, or what it raised."""
        ...


class Proofs(Protocol):
    """What care knows of the store (epmstored.care)."""

    @property
    def room(self) -> Room:
        """How much room there is for recording."""
        ...

    @property
    def damage(self) -> int:
        """Findings of the last check of the store."""
        ...

    @property
    def leap(self) -> float | None:
        """Seconds by which the clock is ahead of the time that may be relied upon; None if it is
        believed.
        """
        ...

    def proven(self, uuid: str) -> tuple[int, str] | None:
        """The newest version that was restored into a scratch folder and compared, and when."""
        ...


class NoProofs:
    """The store is not looked after."""

    room = AMPLE
    damage = 0
    leap: float | None = None

    def proven(self, uuid: str) -> tuple[int, str] | None:
        return None


class ConsoleDoor(Protocol):
    """The web console (epmstored.console.serving)."""

    async def invite(self, peer: Peer) -> Shape:
        """A link that is good once, for the user at the other end. Raises ConflictError,
        UsageError.
        """
        ...


class NoConsole:
    """The console is off."""

    async def invite(self, peer: Peer) -> Shape:
        raise ConflictError(
            "the console is off",
            hint='write listen = "127.0.0.1:7410" under [console] in config.toml, and restart the'
            " daemon (docs/console.md)",
        )


def scratch_folder(store: Path) -> Path:
    """Where files lie that are not needed after a crash."""
    return store / "scratch"
