"""What a parameter of a package may be set to, and how a person writes that. Pure.

Text is one line: it has to be written into files of every format, and read on a terminal. A
parameter that may have several values has a list of them, even if that has one.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from epmstore.catalog.packaging import Parameter, Value
from epmstore.errors import UsageError
from epmstore.measures import parse_duration, parse_size

ParameterValue: TypeAlias = Value | tuple[Value, ...]
MEASURED: Final = ("string", "secret", "integer", "number", "duration", "size")
"""Types whose values may have limits."""
_BOOLEANS: Final = {
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_MOST: Final = 4096
"""Letters of one value."""


def measure(one: Parameter, value: Value) -> int | float:
    """A value as its limits count it. Raises UsageError for one of another type."""
    match one.type, value:
        case "boolean", bool():
            return 0
        case "choice", str() if value in one.choices:
            _check_text(value)
            return 0
        case (("integer" | "number"), int()) if not isinstance(value, bool):
            return value
        case "number", float() if math.isfinite(value):
            return value
        case (("string" | "secret"), str()):
            _check_text(value)
            return len(value)
        case "duration", str():
            return parse_duration(value)
        case "size", str():
            return parse_size(value)
    if one.type == "choice":
        raise UsageError(f"{value!r} is none of {', '.join(one.choices)}")
    raise UsageError(f"{value!r} is no value of a parameter of type {one.type}")


def bound(one: Parameter, limit: Value) -> int | float:
    """A limit as it is compared: of texts it is one of their length. Raises UsageError."""
    if one.type not in MEASURED:
        raise UsageError(f"a {one.type} has no limits")
    if one.type in ("string", "secret"):
        one = msgspec.structs.replace(one, type="integer")
    return measure(one, limit)


def check_value(one: Parameter, value: ParameterValue) -> None:
    """Raises UsageError for what a parameter cannot be."""
    if isinstance(value, tuple) != (one.most > 1):
        raise UsageError("it is a list if there may be several values")
    values = value if isinstance(value, tuple) else (value,)
    if not one.least <= len(values) <= one.most:
        raise UsageError(f"{said_count(one)} values are to be there, not {len(values)}")
    low = None if one.min is None else bound(one, one.min)
    high = None if one.max is None else bound(one, one.max)
    for each in values:
        size = measure(one, each)
        if (low is not None and size < low) or (high is not None and size > high):
            shown = f"a text of {size} letters" if one.type in ("string", "secret") else repr(each)
            raise UsageError(f"{shown} is beyond its limits, {said_limits(one)}")


def parse_value(one: Parameter, texts: Sequence[str]) -> ParameterValue:
    """A value from the words of a person. Raises UsageError."""
    if one.most == 1 and len(texts) != 1:
        raise UsageError(f"it has one value, not {len(texts)}")
    values = tuple(_parse(one, text) for text in texts)
    value = values if one.most > 1 else values[0]
    check_value(one, value)
    return value


def _parse(one: Parameter, text: str) -> Value:
    try:
        match one.type:
            case "boolean":
                return _BOOLEANS[text.lower()]
            case "integer":
                return int(text)
            case "number":
                return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
    except (KeyError, ValueError):
        kind = "true or false" if one.type == "boolean" else f"of type {one.type}"
        raise UsageError(f"{text!r} is not {kind}") from None
    return text


def said_limits(one: Parameter) -> str:
    """Its limits, for people: `1 to 65535`; empty if it has none."""
    of = " letters" if one.type in ("string", "secret") else ""
    match one.min, one.max:
        case None, None:
            return ""
        case low, None:
            return f"{low}{of} or more"
        case None, high:
            return f"{high}{of} or less"
        case low, high:
            return f"{low} to {high}{of}"


def said_count(one: Parameter) -> str:
    """How many values it has, for people."""
    return str(one.least) if one.least == one.most else f"{one.least} to {one.most}"


def said_value(value: ParameterValue) -> str:
    """A value, for people, as they would write it."""
    if isinstance(value, tuple):
        return " ".join(map(said_value, value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def defaults(parameters: Iterable[Parameter]) -> Mapping[str, ParameterValue]:
    """Those that there are, by name."""
    return {one.name: one.default for one in parameters if one.default is not None}


def _check_text(value: str) -> None:
    if len(value) > _MOST:
        raise UsageError(f"it is longer than {_MOST:,} letters")
    if _CONTROL.search(value):
        raise UsageError("it has a control character, or one that turns text around")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UsageError("it is not UTF-8") from None
