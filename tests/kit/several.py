"""Several applications of one store that are moved together, killed and recovered."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from epmstore.atomic import TEMPORARY
from epmstore.catalog.hooks import HookCommand, Hooks
from epmstore.checkout.goal import VersionGoal
from epmstore.checkout.hook_process import Ran
from epmstore.checkout.preflight import Terms
from epmstore.checkout.request import Request
from epmstore.clock import FixedClock
from epmstore.record.result import Result
from epmstore.relpath import STAGE_PREFIX
from epmstore.workspace import Workspace
from epmstore.workspace.app.context import AppContext
from epmstore.workspace.app.handle import AppHandle
from epmstore.workspace.app.transacting import carry_out_together

OLD = {"a": b"old", "gone": b"was here"}
NEW = {"a": b"new", "d/come": b"is here"}


class Services:
    """A Runner without processes, of `KEY stop`, `KEY start` and `KEY health`; `fails` maps such a
    command to how often it fails.
    """

    def __init__(self, fails: Mapping[str, int]) -> None:
        self.calls: list[str] = []
        self.running: set[str] = set()
        self.fails = dict(fails)
        self.on: Callable[[str], object] = lambda call: None
        self._now = 0.0

    def find(self, program: str) -> bool:
        return True

    def run(self, command: HookCommand, environment: Mapping[str, str], limit: float) -> Ran:
        key, word = command
        call = f"{key} {word}"
        self.calls.append(call)
        self.on(call)
        self._now += 1.0
        if self.fails.get(call, 0):
            self.fails[call] -= 1
            return Ran(status=3, output=b"no\n")
        if word == "start":
            self.running.add(key)
        elif word == "stop":
            self.running.discard(key)
        return Ran(status=0, output=b"")

    def now(self) -> float:
        return self._now

    def wait(self, seconds: float) -> None:
        self._now += seconds


class Several:
    """Applications with two versions, 0 (OLD) and 1 (NEW, which is live); the first is needed by
    the others.
    """

    def __init__(
        self, base: Path, keys: Sequence[str] = ("lib", "crm"), *, hooks: bool = False, **fails: int
    ) -> None:
        self.base, self.keys = base, keys
        self.services = Services({name.replace("_", " "): n for name, n in fails.items()})
        self.services.running = set(keys)
        store = base / "store"
        if not store.exists():
            Workspace.init(store).close()
            with Workspace.open(store, clock=FixedClock()) as workspace:
                for key in keys:
                    self._make(workspace, key, hooks=hooks)
        self.workspace = Workspace.open(store, clock=FixedClock(), recover=False)

    def _make(self, workspace: Workspace, key: str, *, hooks: bool) -> None:
        self.root(key).mkdir()
        workspace.apps.add(key, self.root(key))
        if hooks:
            own = Hooks(stop=(key, "stop"), start=(key, "start"), health=(key, "health"))
            workspace.apps.set(key, hooks=own)
        for files in (OLD, NEW):
            for path in OLD:
                (self.root(key) / path).unlink(missing_ok=True)
            for path, data in files.items():
                where = self.root(key) / path
                where.parent.mkdir(exist_ok=True)
                where.write_bytes(data)
            workspace.app(key).snapshot()

    def __enter__(self) -> "Several":
        return self

    def __exit__(self, *_: object) -> None:
        self.workspace.close()

    def root(self, key: str) -> Path:
        return self.base / key

    def context(self, key: str) -> AppContext:
        store, app = self.workspace._store, self.workspace.apps.get(key)
        return AppContext(store, app, runner=self.services)

    def handle(self, key: str) -> AppHandle:
        return AppHandle(self.context(key))

    def go(self, to: int = 0, terms: Terms | None = None) -> list[Result]:
        """All of them to one of their versions, as one transaction."""
        request = Request(action="checkout", goal=VersionGoal(to))
        return carry_out_together(
            [(self.context(key), lambda root: request) for key in self.keys], terms or Terms()
        )

    def tree(self, key: str) -> dict[str, bytes]:
        root = self.root(key)
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }

    def all_are(self) -> str:
        """`old` or `new` if all of them are that; else what each of them is."""
        names = {tuple(sorted(OLD.items())): "old", tuple(sorted(NEW.items())): "new"}
        found = [names.get(tuple(self.tree(key).items()), "mixed") for key in self.keys]
        return found[0] if len(set(found)) == 1 else " ".join(found)

    def leftovers(self) -> list[str]:
        """What a transaction may never leave behind."""
        staged = [
            f"{key}/{name}"
            for key in self.keys
            for name in os.listdir(self.root(key))
            if name.startswith(STAGE_PREFIX)
        ]
        return [*staged, *os.listdir(self.workspace._store.journals)]

    def lasting(self) -> list[str]:
        """What of that is no temporary file, which a collection removes."""
        return [name for name in self.leftovers() if not name.startswith(TEMPORARY)]
