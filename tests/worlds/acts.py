"""What is done with epmstore, and what happens beside it, as values: a world is a setting and a
list of these. All of it can be shown as a script.
"""

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from tests.worlds.edits import Edit, quoted

KEY = "crm"
OTHER = "erp"
"""An application beside it, that nothing which happens to the first may harm."""
PLACE = b"{W}"
"""In words: the folder of the world."""
VENDOR = b"{V}"
"""In words: the folder in which the vendor has the trees of the releases, by their numbers."""
WRITING = ("checkout", "rollback", "undo", "redo", "apply", "repair")
"""Commands that change a root."""
CAPABILITIES = {0: "chown", 3: "fowner", 5: "kill", 7: "setuid", 1: "dac_override"}
"""Those of root that a process may lack, by their numbers."""
WITH_DRY_RUN = (*WRITING, "forget", "unforget", "purge")
WATCHED = "watched"
"""No command: what the daemon does about what it noticed (watched.py); the first word says how, the
others are folders of which it was told for nothing.
"""
RECORDING = ("snapshot", "run", "change", WATCHED)


class Setting(NamedTuple):
    """How a world begins: rules, and whether a vendor's catalog is known."""

    patterns: tuple[tuple[str, str], ...] = ()
    has_vendor: bool = False
    root_mode: str = "755"
    has_other: bool = True
    """Whether there is another application in the store."""
    often: tuple[str, ...] = ()
    """Edits and commands that come again and again."""
    paths: tuple[bytes, ...] = ()
    """What happens does so mostly here."""


class Meddler(NamedTuple):
    """Somebody who changes the root while the program looks at it: before the look at a folder of
    that number, and `times` more.
    """

    edits: tuple[Edit, ...]
    at: int = 1
    times: int = 1


class Failing(NamedTuple):
    """A mutating call of that number fails with an error, and with `on` all after it."""

    at: int
    error: int
    on: bool = False


class Command(NamedTuple):
    """Words of the command line. `edits` are what a command that `run` starts does. `kill` is the
    mutating call before which it dies, `back` asks for undo and redo right after it, `text` for
    what people read instead of JSON, `limit` for so few descriptors, `without` for a process that
    lacks a capability of root's, `clock` for seconds by which its clock is wrong, `foreign` for a
    store that belongs to somebody else as long as the command runs.
    """

    words: tuple[bytes, ...]
    edits: tuple[Edit, ...] = ()
    kill: int = 0
    meddler: Meddler | None = None
    back: bool = False
    text: bool = False
    limit: int = 0
    failing: Failing | None = None
    without: int | None = None
    clock: int = 0
    umask: int = 0o022
    foreign: bool = False

    @property
    def verb(self) -> str:
        return self.words[0].decode()

    def given(self, option: bytes) -> bool:
        return option in self.words

    @property
    def is_plain(self) -> bool:
        """Whether nothing comes between, and nothing is in the way."""
        hindrances = (self.kill, self.meddler, self.limit, self.failing, self.without is not None)
        return not (any(hindrances) or self.foreign)

    @property
    def operands(self) -> tuple[bytes, ...]:
        """What stands behind `--`."""
        if b"--" not in self.words:
            return ()
        return self.words[self.words.index(b"--") + 1 :]

    @property
    def scope(self) -> frozenset[bytes]:
        """Paths that were named; none for all."""
        if self.verb not in ("checkout", "repair"):
            return frozenset()
        return frozenset(self.operands[1 if self.verb == "checkout" else 0 :])

    def shell(self) -> str:
        words = [quoted(word).replace("{W}", "'$W'") for word in self.words]
        if self.edits:
            words.append("bash -c " + quoted(script(self.edits).encode()))
        line = f"$E {' '.join(words)}{''.join(self._remarks())}"
        if self.verb == WATCHED:
            line = f"# the daemon records what it noticed: {' '.join(words[1:])}"
        if self.without is not None:
            line = f"setpriv --bounding-set -{CAPABILITIES[self.without]} -- {line}"
        if self.foreign:
            line = f"chown nobody $W/store; {line}; chown root $W/store"
        if self.umask != 0o022:
            line = f"(umask {self.umask:03o}; {line})"
        if self.limit:
            line = f"(ulimit -n {self.limit}; {line})"
        return line + ("; $E undo; $E redo" if self.back else "")

    def _remarks(self) -> Iterator[str]:
        """What no shell can do."""
        if self.meddler is not None:
            edits = "; ".join(edit.shell() for edit in self.meddler.edits)
            yield f"  # meanwhile, {self.meddler.times} times: {edits}"
        if self.kill:
            yield f"  # killed before its mutating call {self.kill}"
        if self.failing is not None:
            calls = f"call {self.failing.at}{' and all after it' * self.failing.on}"
            yield f"  # its mutating {calls} fails: {os.strerror(self.failing.error)}"
        if self.clock:
            yield f"  # by a clock that is wrong by {self.clock} s"


class Cache(NamedTuple):
    """Something in the store that may be lost is."""

    name: str

    def shell(self) -> str:
        return f"rm -rf $W/store/{self.name}*"


class Second(NamedTuple):
    """Words of a command about a store of its own, which has the same root. `kill` as above."""

    words: tuple[bytes, ...]
    kill: int = 0

    def shell(self) -> str:
        words = " ".join(quoted(word) for word in self.words)
        line = f"$E --store $W/second {words}"
        return line + f"  # killed before its mutating call {self.kill}" * bool(self.kill)


Act: TypeAlias = Edit | Command | Cache | Second


def script(edits: Sequence[Edit]) -> str:
    """What `run` starts: needs R and W, and a function `content`."""
    return "; ".join(edit.shell() for edit in edits)


CONTENT = "content() { case $1 in empty) ;; *) printf '%s\\n' \"$1\";; esac; }"
HEADER = f"""E=${{E:-epmstore}}; export W=$(mktemp -d); export EPMSTORE_STORE=$W/store R=$W/root
mkdir $R; {CONTENT}; export -f content; cd $W"""


def as_script(setting: Setting, acts: Sequence[Act]) -> str:
    """A whole world, for bash."""
    lines = [HEADER, "$E -q init"]
    rules = " ".join(f"--{kind} {quoted(p.encode())}" for kind, p in setting.patterns)
    started = False
    for act in acts:
        if isinstance(act, Command) and not started:
            lines.append(f"$E -q app add {KEY} $R {rules}".rstrip())
            if setting.has_vendor:
                lines.append("# the vendor's catalog of vendor.py is imported here")
            started = True
        lines.append(act.shell())
    return "\n".join(lines)
