"""Errors as JSON (docs/json.md), and foreign errors as ours: for command line and daemon."""

import errno
import os
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

from epmstore.errors import DiskFullError, EpmError
from epmstore.limits import limit_error, size_error

Shape: TypeAlias = dict[str, Any]
"""A JSON object of docs/json.md."""
EXIT_CODES = range(2, 131)
"""Of errors; the last one is that of an interrupt."""
ErrorT = TypeVar("ErrorT", bound=EpmError)
_FULL = (errno.ENOSPC, errno.EDQUOT)


class UnexpectedError(EpmError):
    """What was not foreseen, as the caller is told of it."""

    code = "unexpected"


def error_to_form(error: EpmError, app: str | None = None) -> dict[str, object]:
    """The shape `error`. Plain text whatever the error carries."""
    return {
        "type": "error",
        "app": None if app is None else plain_text(app),
        "error": error.code,
        "exit_code": error.exit_code,
        "message": plain_text(error.message),
        "hint": None if error.hint is None else plain_text(error.hint),
        "data": _plain(error.data),
    }


def error_from_form(form: Mapping[str, Any], kind: type[ErrorT]) -> ErrorT:
    """What another process of ours said, as an error of this kind with the code and exit code that
    it has there. Whatever it said, an error comes of it.
    """
    said, hint, data = form.get("exit_code"), form.get("hint"), form.get("data")
    exit_code = said if isinstance(said, int) and said in EXIT_CODES else kind.exit_code
    error = kind(str(form.get("message")), hint=hint if isinstance(hint, str) else None)
    error.__dict__.update(code=str(form.get("error")), exit_code=exit_code)
    error.data = data if isinstance(data, dict) else {}
    return error


def from_system(error: OSError, *, hint: str | None = None) -> EpmError:
    """What the operating system refused, with a remedy where one is known; else with `hint`."""
    names = [os.fsdecode(n) for n in (error.filename, error.filename2) if _is_name(n)]
    message = ": ".join([*[" -> ".join(names)][: len(names)], error.strerror or str(error)])
    data = {"errno": error.errno, "file": names[0] if names else None}
    if error.errno in _FULL:
        full = "free some space: `epmstore gc` after `epmstore forget`, then run the command again"
        return DiskFullError(message, hint=full, **data)
    if error.errno == errno.EFBIG:
        return size_error(names[0] if names else "not done")
    if (limit := limit_error(error, names[0] if names else "not done")) is not None:
        return limit
    if error.errno in (errno.EACCES, errno.EPERM):
        hint = "run it as root, or as the user who owns the store and the application"
    elif error.errno == errno.EROFS:
        hint = "the file system is mounted read-only"
    elif names:
        hint = None
    return EpmError(message, hint=hint, **data)


def is_unwritable(error: EpmError | OSError) -> bool:
    """Whether nothing can be written where something was to be: no room, or read-only. What only
    reads goes on then.
    """
    if isinstance(error, EpmError):
        return isinstance(error, DiskFullError) or error.data.get("errno") == errno.EROFS
    return error.errno in (*_FULL, errno.EROFS)


def plain_text(text: str) -> str:
    """Text without the lone surrogates that stand for bytes which are no UTF-8."""
    try:
        return os.fsencode(text).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # some that stand for nothing
        return text.encode("utf-8", "backslashreplace").decode()


def _is_name(name: object) -> bool:
    return isinstance(name, (str, bytes)) and bool(name)


def _plain(value: object) -> object:
    """Any value that an error may carry, as JSON can."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, dict):
        return {plain_text(str(key)): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(one) for one in value]
    return plain_text(str(value))
