"""`apps.d/<key>.toml`: an application as configuration management declares it. Pure.

    root = "/opt/crm"
    state = ["data/", "*.log"]
    unit = "crm.service"

    [hooks]
    stop = "systemctl stop crm"

The file is the wish, the appcat is what is in force; `apply_declared_apps` makes the one from the
other, as often as it is asked to. A file that epmstore wrote itself begins with MARK and is written
again when `app set` changes the application; any other has another author and is never written.
"""

import tomllib
from typing import Any, Final

import msgspec

from epmstore.catalog.appcat import App, check_key
from epmstore.catalog.appowners import owners_of, with_owners
from epmstore.catalog.classes import LISTS, Patterns, Rules
from epmstore.catalog.config_policy import DEFAULT_POLICY, policy_of, with_policy
from epmstore.catalog.hooks import (
    HOOKS,
    HookCommand,
    Hooks,
    check_command,
    hooks_of,
    parse_command,
    parse_limit,
    show_command,
    unit_of,
    with_unit,
)
from epmstore.config import unknown
from epmstore.errors import EpmError, UsageError
from epmstore.measures import format_duration

SUFFIX: Final = ".toml"
MARK: Final = "# Written by epmstore"
_HEADER: Final = f"""\
{MARK}: `epmstore app set` writes it again, and comments are lost.
# Without this line the file is yours: epmstore only reads it (`epmstore app apply`).
"""
_TIMES: Final = ("timeout", "health_timeout")
_FLAGS: Final = ("follow", "cross_mounts")
_KEYS: Final = ("root", *_FLAGS, *LISTS, "owners", "unit", "config_policy", "hooks")


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """An application as it is to be; `unit` is empty for none, `config_policy` for the default."""

    key: str
    root: str
    follow: bool = False
    cross_mounts: bool = False
    patterns: Patterns = Patterns()
    hooks: Hooks = Hooks()
    owners: tuple[str, ...] = ()
    unit: str = ""
    config_policy: str = ""


def parse_declared(data: bytes, key: str, origin: str) -> Declared:
    """What a file says of the application `key`. Raises UsageError, naming `origin`."""
    try:
        check_key(key)
        document = tomllib.loads(data.decode())
        return _from_document(document, key, origin)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{origin}: {error}", file=origin) from None
    except UsageError as error:
        if error.data.get("file") == origin:
            raise
        message = f"{origin}: {error.message}"
        raise UsageError(message, hint=error.hint, file=origin) from None


def _from_document(document: dict[str, Any], key: str, origin: str) -> Declared:
    for name in document:
        if name not in _KEYS:
            raise unknown(f"key {name!r}", name, _KEYS, origin)
    if "root" not in document:
        raise UsageError("there is no root", hint='root = "/opt/crm"')
    root = _typed(document, "root", str, "")
    if not root.startswith("/") or "\0" in root:
        raise UsageError(f"root has to be an absolute path, not {root!r}")
    unit = _typed(document, "unit", str, "")
    declared = Declared(
        key=key,
        root=root,
        follow=_typed(document, "follow", bool, False),
        cross_mounts=_typed(document, "cross_mounts", bool, False),
        patterns=Patterns(**{name: _patterns(document, name) for name in LISTS}),
        hooks=_hooks(_typed(document, "hooks", dict, {}), origin),
        owners=_patterns(document, "owners"),
        unit=unit,
        config_policy=_typed(document, "config_policy", str, ""),
    )
    Rules(declared.patterns)
    checked = with_unit(App(uuid="", key=key, root="/"), unit)
    with_policy(with_owners(checked, declared.owners), declared.config_policy)
    return declared


def _typed(document: dict[str, Any], name: str, kind: type, default: Any) -> Any:
    found = document.get(name, default)
    if type(found) is not kind:
        words = {str: "text", bool: "true or false", dict: "a section", list: "a list"}
        raise UsageError(f"{name} has to be {words[kind]}, not {found!r}")
    return found


def _patterns(document: dict[str, Any], name: str) -> tuple[str, ...]:
    found = _typed(document, name, list, [])
    if not all(isinstance(pattern, str) for pattern in found):
        raise UsageError(f"{name} has to be a list of texts")
    return tuple(found)


def _hooks(section: dict[str, Any], origin: str) -> Hooks:
    known = (*HOOKS, *_TIMES)
    for name in section:
        if name not in known:
            raise unknown(f"key {name!r} in [hooks]", name, known, origin)
    found: dict[str, Any] = {n: _command(n, section[n]) for n in HOOKS if n in section}
    for name in _TIMES:
        if name in section:
            found[name] = parse_limit(_typed(section, name, str, ""))
    return Hooks(**found)


def _command(name: str, found: object) -> HookCommand:
    """Text, or a list of words."""
    if isinstance(found, str):
        return parse_command(found)
    if isinstance(found, list) and all(isinstance(word, str) for word in found):
        words = tuple(found)
        check_command(words)
        return words
    raise UsageError(f"{name} has to be a command, or a list of words")


def declare(app: App) -> Declared:
    """What a file would say of an application."""
    return Declared(
        key=app.key,
        root=app.root,
        follow=app.follow,
        cross_mounts=app.cross_mounts,
        patterns=app.patterns,
        hooks=hooks_of(app),
        owners=owners_of(app),
        unit=unit_of(app) or "",
        config_policy=policy if (policy := policy_of(app)) != DEFAULT_POLICY else "",
    )


def render_declared(wanted: Declared) -> bytes:
    """The file, with MARK. Raises UsageError for a name that is not UTF-8, which TOML has not."""
    lines = [_HEADER, f"root = {_quoted(wanted.root)}"]
    lines += [f"{name} = true" for name in _FLAGS if getattr(wanted, name)]
    for name in LISTS:
        patterns = getattr(wanted.patterns, name)
        if patterns:
            lines.append(f"{name} = [{', '.join(map(_quoted, patterns))}]")
    if wanted.owners:
        lines.append(f"owners = [{', '.join(map(_quoted, wanted.owners))}]")
    if wanted.unit:
        lines.append(f"unit = {_quoted(wanted.unit)}")
    if wanted.config_policy:
        lines.append(f"config_policy = {_quoted(wanted.config_policy)}")
    hooks = [f"{n} = {_quoted(show_command(words))}" for n, words in wanted.hooks.commands.items()]
    for name in _TIMES:
        seconds = getattr(wanted.hooks, name)
        hooks += [] if seconds is None else [f"{name} = {_quoted(format_duration(seconds))}"]
    lines += ["", "[hooks]", *hooks] if hooks else []
    try:
        return "\n".join([*lines, ""]).encode()
    except UnicodeEncodeError as error:
        raise EpmError(f"{error.object!r} is not UTF-8, and TOML has nothing else") from None


def _quoted(text: str) -> str:
    """A basic string of TOML: JSON's escapes are among its own, but for DEL."""
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")
