"""The settings of a store: one schema for the file, the environment and flags. Pure.

A later layer wins: default, then `config.toml`, then `EPMSTORE_<SECTION>_<KEY>`, then flags; each
value remembers where it comes from. A name that is not in the schema is an error that suggests one:
a misspelt setting must not silently be the default. The file and the environment are read elsewhere
(by the program, by the daemon); nothing here is ambient.

    settings = merge([file_layer(data, "/etc/epmstore/config.toml"), environment_layer(environ)])
    settings.config.daemon.settle       2.0, in seconds
    settings.origins["daemon.settle"]   "default"
"""

import difflib
import posixpath
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from epmstore.errors import UsageError
from epmstore.measures import (
    format_duration,
    format_percent,
    format_size,
    parse_duration,
    parse_percent,
    parse_size,
)

PREFIX: Final = "EPMSTORE_"
DEFAULT: Final = "default"
OFF: Final = "off"
SAFE_STORES: Final = "safe_stores"
MORE_THAN_NOTHING: Final = {
    "daemon.reconcile": "never",
    "daemon.read_back": "never",
    "daemon.poll": "",
    "store.max_size": "no limit",
    "care.drill": "never",
    "checkout.hook_timeout": "",
    "checkout.health_timeout": "",
    "console.idle": "",
    "console.longest": "",
}
"""Settings of which 0 says nothing that can be meant, and what `off` means there."""
NEAR: Final = 0.85
"""How like one of ours a variable is that is taken for it."""


class DaemonConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`settle`: quiet time before a change is recorded, at most `settle_max` under steady writing.
    `reconcile`: how often everything is looked at again, `poll` the same where nothing can be
    watched (None: never). `read_back`: within which time these looks read every file again (None:
    never). `group` may ask over the socket. `alert` is a command that is run when something was
    changed that no release explains (None: none). Times in seconds.
    """

    settle: float = 2.0
    settle_max: float = 60.0
    reconcile: float | None = 86400.0
    read_back: float | None = 30 * 86400.0
    poll: float = 60.0
    log: Literal["text", "json"] = "text"
    metrics: bool = True
    group: str = "epmstore"
    alert: str | None = None


class RetentionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How much the daemon keeps, as `epmstore forget` has it; off: it forgets nothing."""

    enabled: bool = True
    keep_last: int = 10
    keep_change_days: int = 365
    keep_drift_days: int = 7
    keep_undo_days: int = 30
    keep_hourly: int = 48
    keep_daily: int = 60
    keep_weekly: int = 26
    keep_monthly: int = 36
    keep_yearly: int = 10


class StoreConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes. Beyond `max_size`, or with less than `min_free` left on its file system, recording
    goes on without contents (None: no limit).
    """

    max_size: int | None = None
    min_free: int | None = 256 << 20


class CareConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`fsck_percent` of the store are read each day; `drill` seconds pass between two proofs that
    a version can be restored (None: never).
    """

    fsck_percent: float = 3.0
    drill: float | None = 604800.0


class CheckoutConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Limits for the hooks of an application that names none of its own. Seconds."""

    hook_timeout: float = 60.0
    health_timeout: float = 30.0


class ConsoleConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The web console. `listen` is an address of this host alone with a port (None: off);
    `operators` the group whose members may all that root may (None: none). `proxy_user` is who a
    proxy runs as that knows its users, `proxy_origin` how browsers reach it (None: no proxy). A
    session ends `idle` seconds after it was used last, and `longest` after it began.
    """

    listen: str | None = None
    operators: str | None = None
    proxy_user: str | None = None
    proxy_origin: str | None = None
    idle: float = 1800.0
    longest: float = 12 * 3600.0

    @property
    def is_on(self) -> bool:
        return self.listen is not None or self.proxy_user is not None


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, each with a value."""

    daemon: DaemonConfig = DaemonConfig()
    retention: RetentionConfig = RetentionConfig()
    store: StoreConfig = StoreConfig()
    care: CareConfig = CareConfig()
    checkout: CheckoutConfig = CheckoutConfig()
    console: ConsoleConfig = ConsoleConfig()


class SettingType(msgspec.Struct, frozen=True):
    """How a value is read from text or TOML, and shown as both."""

    parse: Callable[[object], object]
    format: Callable[[object], str]


class Layer(msgspec.Struct, frozen=True):
    """Values by dotted key, each with its origin; not yet parsed."""

    values: Mapping[str, tuple[object, str]]


class Settings(msgspec.Struct, frozen=True):
    """The settings in force and, by dotted key, where each comes from."""

    config: Config
    origins: Mapping[str, str]

    def rows(self) -> list[tuple[str, str, str]]:
        """(dotted key, value as the file has it, origin), in the order of the schema."""
        return [(key, format_value(self.config, key), self.origins[key]) for key in KEYS]


def _text(value: object, parse: Callable[[str], object]) -> object:
    if not isinstance(value, str):
        raise UsageError(f"{value!r} is no text", hint="put it in quotes, with its unit")
    return parse(value)


def _or_off(kind: SettingType) -> SettingType:
    return SettingType(
        lambda value: None if value in (OFF, False) else kind.parse(value),
        lambda value: OFF if value is None else kind.format(value),
    )


def _count(value: object) -> object:
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UsageError(f"{value!r} is no count", hint="write a number from 0 on")
    return value


def _flag(value: object) -> object:
    known = {"true": True, "1": True, "on": True, "false": False, "0": False, OFF: False}
    found = known.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise UsageError(f"{value!r} is neither true nor false")
    return found


def _log(value: object) -> object:
    if value not in ("text", "json"):
        raise UsageError(f"{value!r} is neither 'text' nor 'json'")
    return value


def _name(text: str) -> str:
    if not text or any(c.isspace() or c in ":/\0" for c in text):
        raise UsageError(f"{text!r} is no name of a group")
    return text


def _user(text: str) -> str:
    if not text or any(c.isspace() or c in ":/\0" for c in text):
        raise UsageError(f"{text!r} is no name of a user")
    return text


_LOOPBACK: Final = re.compile(r"(?:127\.0\.0\.1|\[::1\]):([1-9][0-9]{0,4})")
_ORIGIN: Final = re.compile(r"https?://[a-z0-9.-]+(?::[1-9][0-9]{0,4})?")


def _loopback(text: str) -> str:
    found = _LOOPBACK.fullmatch(text)
    if found is None or int(found[1]) > 65535:
        raise UsageError(
            f"{text!r} is no address of this host alone with a port",
            hint="write 127.0.0.1:7410, or [::1]:7410; from elsewhere it is reached by ssh, or by a"
            " proxy",
        )
    return text


def _origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text):
        raise UsageError(
            f"{text!r} is not how a browser names a place",
            hint="write it in small letters, without a path: https://console.example.com",
        )
    return text


def _shown(show: Callable[..., str]) -> Callable[[object], str]:
    return lambda value: show(value)


DURATION = SettingType(lambda value: _text(value, parse_duration), _shown(format_duration))
SIZE = SettingType(lambda value: _text(value, parse_size), _shown(format_size))
PERCENT = SettingType(lambda value: _text(value, parse_percent), _shown(format_percent))
COUNT = SettingType(_count, str)
FLAG = SettingType(_flag, lambda value: "true" if value else "false")
LOG = SettingType(_log, str)
TEXT = SettingType(lambda value: _text(value, str), str)
NAME = SettingType(lambda value: _text(value, _name), str)
USER = SettingType(lambda value: _text(value, _user), str)
LOOPBACK = SettingType(lambda value: _text(value, _loopback), str)
ORIGIN = SettingType(lambda value: _text(value, _origin), str)

KEYS: Final[dict[str, SettingType]] = {
    "daemon.settle": DURATION,
    "daemon.settle_max": DURATION,
    "daemon.reconcile": _or_off(DURATION),
    "daemon.read_back": _or_off(DURATION),
    "daemon.poll": DURATION,
    "daemon.log": LOG,
    "daemon.metrics": FLAG,
    "daemon.group": NAME,
    "daemon.alert": _or_off(TEXT),
    "retention.enabled": FLAG,
    **{f"retention.{name}": COUNT for name in RetentionConfig.__struct_fields__[1:]},
    "store.max_size": _or_off(SIZE),
    "store.min_free": _or_off(SIZE),
    "care.fsck_percent": PERCENT,
    "care.drill": _or_off(DURATION),
    "checkout.hook_timeout": DURATION,
    "checkout.health_timeout": DURATION,
    "console.listen": _or_off(LOOPBACK),
    "console.operators": _or_off(NAME),
    "console.proxy_user": _or_off(USER),
    "console.proxy_origin": _or_off(ORIGIN),
    "console.idle": DURATION,
    "console.longest": DURATION,
}
"""Every setting by its dotted key, in the order in which they are shown."""
SECTIONS: Final = tuple(dict.fromkeys(key.partition(".")[0] for key in KEYS))
OTHER_VARIABLES: Final = frozenset(
    PREFIX + name
    for name in (
        *("STORE", "DEBUG"),
        *("APP", "ROOT", "FROM", "TO", "HOOK", "FILES", "STATE", "TROUBLE", "VERSION", "WHY"),
    )
)
"""Variables of ours that are no settings: the program's own, and those that hooks are given."""


def variable(key: str) -> str:
    """`EPMSTORE_DAEMON_SETTLE` for `daemon.settle`."""
    return PREFIX + key.replace(".", "_").upper()


_VARIABLES: Final = {variable(key): key for key in KEYS}


def file_layer(
    data: bytes, origin: str, *, sections: Sequence[str] = SECTIONS, names_stores: bool = False
) -> Layer:
    """What a `config.toml` says that may have these sections; with `names_stores` it may say which
    stores of others are safe, too. Raises UsageError, naming `origin`.
    """
    values: dict[str, tuple[object, str]] = {}
    for section, found in _document(data, origin).items():
        if section == SAFE_STORES:
            if not names_stores:
                raise UsageError(
                    f"{origin}: {SAFE_STORES} does not count here",
                    hint="a store does not vouch for itself: write it in /etc/epmstore/config.toml,"
                    " or as a user in ~/.config/epmstore/config.toml",
                    file=origin,
                )
            continue
        if section not in sections:
            known = (*sections, SAFE_STORES) if names_stores else sections
            raise unknown(f"section [{section}]", section, known, origin)
        if not isinstance(found, dict):
            raise UsageError(f"{origin}: {section} is a section: write [{section}]", file=origin)
        names = [key.partition(".")[2] for key in KEYS if key.startswith(f"{section}.")]
        for name, value in found.items():
            if name not in names:
                raise unknown(f"key {name!r} in [{section}]", name, names, origin)
            values[f"{section}.{name}"] = (value, origin)
    return Layer(values)


def safe_stores_of(data: bytes, origin: str) -> tuple[str, ...]:
    """The folders of stores of others that a file says are safe. Raises UsageError, naming
    `origin`.
    """
    found = _document(data, origin).get(SAFE_STORES, [])
    if not isinstance(found, list) or not all(
        isinstance(text, str) and text.startswith("/") and "\0" not in text for text in found
    ):
        raise UsageError(f"{origin}: {SAFE_STORES} is a list of absolute paths", file=origin)
    return tuple(posixpath.normpath(text) for text in found)


def _document(data: bytes, origin: str) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{origin}: {error}", file=origin) from None


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """The settings among the variables. One that begins like a section of ours, or is nearly one of
    ours, is an error; other variables belong to other programs. Raises UsageError.
    """
    values: dict[str, tuple[object, str]] = {}
    sections = tuple(f"{PREFIX}{section.upper()}_" for section in SECTIONS)
    for name, value in environ.items():
        if name in _VARIABLES:
            values[_VARIABLES[name]] = (value, name)
        elif name not in OTHER_VARIABLES:
            known = (*_VARIABLES, *sorted(OTHER_VARIABLES))
            large = name.upper()
            if large == f"{PREFIX}{SAFE_STORES.upper()}":
                hint = "write it in a file: docs/config.md says in which"
                raise UsageError(f"there is no variable {name}", hint=hint)
            near = name.startswith(PREFIX) and difflib.get_close_matches(name, known, cutoff=NEAR)
            if near or large in known or large.startswith(sections):
                raise unknown(f"variable {name}", large, known, None)
    return Layer(values)


def flag_layer(flags: Mapping[str, object]) -> Layer:
    """Values by dotted key, as given on a command line; None is not given."""
    return Layer(
        {
            key: (value, f"--{key.partition('.')[2].replace('_', '-')}")
            for key, value in flags.items()
            if value is not None
        }
    )


def merge(layers: Iterable[Layer]) -> Settings:
    """The settings in force. Raises UsageError for a value that is none, naming its origin."""
    origins = dict.fromkeys(KEYS, DEFAULT)
    sections: dict[str, dict[str, object]] = {section: {} for section in SECTIONS}
    for layer in layers:
        for key, (value, origin) in layer.values.items():
            section, _, name = key.partition(".")
            try:
                sections[section][name] = KEYS[key].parse(value)
            except UsageError as error:
                where = origin if origin == variable(key) else f"{origin}: {key}"
                raise UsageError(
                    f"{where}: {error.message}", hint=error.hint, key=key, origin=origin
                ) from None
            origins[key] = origin
    base = Config()
    made = {s: msgspec.structs.replace(getattr(base, s), **found) for s, found in sections.items()}
    config = msgspec.structs.replace(base, **made)
    _check(config)
    return Settings(config, origins)


def format_value(config: Config, key: str) -> str:
    """A value as the file has it, without quotes."""
    section, _, name = key.partition(".")
    return KEYS[key].format(getattr(getattr(config, section), name))


def unknown(what: str, word: str, known: Iterable[str], origin: str | None) -> UsageError:
    """The error for a name that is not in a schema, with what was probably meant."""
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
    where = f"{origin}: " if origin else ""
    return UsageError(f"{where}there is no {what}", hint=hint, file=origin)


def _check(config: Config) -> None:
    """What must hold between values. Raises UsageError."""
    if config.daemon.settle_max < config.daemon.settle:
        raise UsageError(
            f"daemon.settle_max ({format_duration(config.daemon.settle_max)}) is less than"
            f" daemon.settle ({format_duration(config.daemon.settle)})",
            hint="settle_max is the longest that a change waits, settle the shortest",
        )
    if (config.console.proxy_user is None) != (config.console.proxy_origin is None):
        raise UsageError(
            "console.proxy_user and console.proxy_origin go together",
            hint="name both: who the proxy runs as, and how browsers reach it, such as"
            " https://console.example.com",
        )
    for key in MORE_THAN_NOTHING:
        section, _, name = key.partition(".")
        if getattr(getattr(config, section), name) == 0:
            off = MORE_THAN_NOTHING[key]
            hint = f"for {off}, write {OFF!r}" if off else None
            raise UsageError(f"{key} must be more than 0", hint=hint)
