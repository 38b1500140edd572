"""What is to be run around a checkout of an application, and what came of it. Pure.

A command is a list of words, and no shell is between them and the program. What needs a shell says
so: `sh -c '...'`. As text a command is split as a shell would, and refused if it looks as if more
was expected of one.
"""

import os.path
import re
import shlex
from typing import Final, Literal, TypeAlias

import msgspec

from epmstore.catalog.appcat import App
from epmstore.errors import DamagedError, UsageError
from epmstore.measures import parse_duration

HookCommand: TypeAlias = tuple[str, ...]
HookName: TypeAlias = Literal["stop", "start", "health"]
HookOutcome: TypeAlias = Literal["ok", "failed", "timeout", "missing"]
HOOKS: Final[tuple[HookName, ...]] = ("stop", "start", "health")
OPTION: Final = "hooks"
"""The name of the hooks among an application's options."""
UNIT: Final = "unit"
"""The name of the systemd unit among them."""
_UNIT = re.compile(r"[A-Za-z0-9:_.@\\-]{1,200}\.(service|socket|target|timer)")
_SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh"})
_OPERATORS = frozenset({"|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "2>&1", "&>"})


class Hooks(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`stop` and `start` stop and start the application, `health` exits with 0 when it works.

    `timeout` is the limit of each run of a hook, `health_timeout` how long the application may take
    to become healthy; both in seconds, None: as configured for the store.
    """

    stop: HookCommand | None = None
    start: HookCommand | None = None
    health: HookCommand | None = None
    timeout: float | None = None
    health_timeout: float | None = None

    def command(self, name: HookName) -> HookCommand | None:
        found: HookCommand | None = getattr(self, name)
        return found

    @property
    def commands(self) -> dict[HookName, HookCommand]:
        """Those that are set, in the order in which they run."""
        return {name: found for name in HOOKS if (found := self.command(name)) is not None}


NONE: Final = Hooks()


class HookRun(msgspec.Struct, frozen=True, kw_only=True):
    """One hook that was run. `phase`: on the way to the wanted version, or back from it.

    `app` is the key of the application that it is of. `status` is its exit status, 128 + n if a
    signal ended it, None if it never ran or had to be killed. `attempts` is how often a health
    check was tried, `seconds` how long all of it took. `output` is the end of what it wrote, of the
    last attempt. `held`: a process that it left behind still writes there.
    """

    hook: HookName
    app: str
    phase: Literal["checkout", "undo", "recover"]
    command: HookCommand
    outcome: HookOutcome
    status: int | None = None
    attempts: int = 1
    seconds: float = 0.0
    output: str = ""
    held: bool = False

    @property
    def ok(self) -> bool:
        return self.outcome == "ok"

    @property
    def why(self) -> str:
        """How it ended, in a few words."""
        tried = f", tried {self.attempts} times" if self.attempts > 1 else ""
        match self.outcome:
            case "ok":
                return "done"
            case "missing":
                return f"there is no program {self.command[0]!r}"
            case "timeout":
                return f"not done after {self.seconds:.0f} s, and killed{tried}"
            case _:
                return f"exit status {self.status}{tried}"


def parse_command(text: str) -> HookCommand:
    """Raises UsageError."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"{text!r} is no command: {error}") from None
    check_command(words, text)
    return words


def parse_limit(text: str) -> float:
    """The seconds of a time limit. Raises UsageError, for none as well: nothing ends in no time."""
    seconds = parse_duration(text)
    if not seconds:
        raise UsageError("the time limit of a hook must be more than 0")
    return seconds


def check_command(words: HookCommand, text: str | None = None) -> None:
    """Raises UsageError for no words, NULs, or what only a shell would understand; `text` is how it
    was written.
    """
    if not words or not words[0] or any("\0" in word for word in words):
        raise UsageError("a hook needs the name of a program")
    if os.path.basename(words[0]) in _SHELLS:
        return
    odd = [word for word in words if word in _OPERATORS or "$" in word or "`" in word]
    if odd or "=" in words[0]:
        raise UsageError(
            f"{(odd or words)[0]!r} in a hook needs a shell, and hooks are run without one",
            hint=f"say it: sh -c {shlex.quote(shlex.join(words) if text is None else text)}",
        )


def show_command(words: HookCommand) -> str:
    return shlex.join(words)


def hooks_of(app: App) -> Hooks:
    """Those of an application. Raises DamagedError for what is no hooks."""
    try:
        return msgspec.convert(app.options.get(OPTION, {}), Hooks)
    except msgspec.ValidationError as error:
        raise DamagedError(f"the hooks of {app.key} do not make sense: {error}") from None


def with_hooks(app: App, hooks: Hooks) -> App:
    """The application with these hooks instead of its own."""
    options = {key: value for key, value in app.options.items() if key != OPTION}
    if hooks != NONE:
        options[OPTION] = msgspec.json.decode(msgspec.json.encode(hooks))  # as it reads back
    return msgspec.structs.replace(app, options=options)


def unit_of(app: App) -> str | None:
    """The systemd unit of an application, if it has said so."""
    found = app.options.get(UNIT)
    return found if isinstance(found, str) else None


def with_unit(app: App, unit: str) -> App:
    """The application with this unit; empty for none. Raises UsageError for what is no unit."""
    if unit and not _UNIT.fullmatch(unit):
        raise UsageError(
            f"{unit!r} is not the name of a service", hint="write it as systemctl does: crm.service"
        )
    options = {key: value for key, value in app.options.items() if key != UNIT}
    return msgspec.structs.replace(app, options={**options, UNIT: unit} if unit else options)
