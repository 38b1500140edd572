"""A Runner without processes: an application that is a value, and time that passes when told to."""

from collections.abc import Callable, Mapping

from epmstore.catalog.hooks import HookCommand
from epmstore.checkout.hook_process import Ran

STOP = ("crm", "stop")
START = ("crm", "start")
HEALTH = ("crm", "health")


class Application:
    """`crm stop`, `crm start` and `crm health`. `fails` maps a word to how often it fails (each
    time takes a second); `on` is called with the word and the environment before it ends.
    """

    def __init__(self, fails: Mapping[str, int] | None = None) -> None:
        self.running = True
        self.calls: list[str] = []
        self.environments: list[dict[str, str]] = []
        self.fails = dict(fails or {})
        self.on: Callable[[str], object] = lambda word: None
        self.programs = {"crm"}
        self.hangs: set[str] = set()
        self._now = 0.0

    def find(self, program: str) -> bool:
        return program in self.programs

    def run(self, command: HookCommand, environment: Mapping[str, str], limit: float) -> Ran:
        word = command[1]
        self.calls.append(word)
        self.environments.append(dict(environment))
        self.on(word)
        if word in self.hangs:
            self._now += limit
            return Ran(status=None, output=b"working on it\n")
        self._now += 1.0
        if self.fails.get(word, 0):
            self.fails[word] -= 1
            return Ran(status=3, output=f"{word}: no\n".encode())
        if word in ("stop", "start"):
            self.running = word == "start"
        return Ran(status=0 if word != "health" or self.running else 1, output=b"")

    def now(self) -> float:
        return self._now

    def wait(self, seconds: float) -> None:
        self._now += seconds
