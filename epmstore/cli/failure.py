"""What went wrong, in one line with a hint, and as an exit code.

Codes 2 to 11 of epmstore's own errors come from their classes (epmstore/errors.py).
"""

import os
import re
import sys
import traceback

import click
from click.exceptions import Abort, NoArgsIsHelpError, NoSuchOption

from epmstore.cli.output import encode, one_line, safe_text
from epmstore.errorform import UnexpectedError, error_to_form, from_system
from epmstore.errors import EpmError, NotFoundError, UsageError

DEBUG = "EPMSTORE_DEBUG"
INTERRUPTED = 130
_NO_THREAD = "can't start new thread"
EXIT_CODES = {
    0: "Done; nothing differs.",
    1: "Differences were found; only ever together with a result on standard output.",
    2: "The command line, a setting or a variable is wrong.",
    3: "Done in part: something could not be read, held still or restored, and is named.",
    4: "Failed, for any reason that has no code of its own.",
    5: "Not found: application, version, path, content, job or named file; or not restorable.",
    6: "Stored data is damaged.",
    7: "Conflict: something changed meanwhile, is in use, or is another's.",
    8: "Signature or trust: not signed by a trusted key, or older than what is here.",
    9: "No solution: what is asked of packages cannot be, or whether it can was not found out.",
    10: "There is no store, or none that this release understands.",
    11: "Busy: another command holds the lock.",
    12: "A remote failed; nothing that is recorded here depends on it.",
    130: "Interrupted.",
    141: "The reader of the output went away.",
}


class Interrupted(EpmError):
    exit_code = INTERRUPTED
    code = "interrupted"


class DeclinedError(EpmError):
    """The answer to a question was no."""

    code = "declined"


def check_environment() -> None:
    """Raises UsageError for a variable of ours that holds junk."""
    if os.environ.get(DEBUG, "0") not in ("", "0", "1"):
        raise UsageError(f"{DEBUG} must be 0 or 1, not {os.environ[DEBUG]!r}")


def report(error: BaseException, *, as_json: bool, app: str | None) -> int:
    """Say what happened on stderr; the exit code. Raises nothing, whatever stderr is."""
    if isinstance(error, NoArgsIsHelpError) and not as_json:
        sys.stderr.write(error.format_message() + "\n")
        return 2
    known = translate(error)
    try:
        if os.environ.get(DEBUG) == "1":
            traceback.print_exception(error)
        sys.stderr.write(_as_json(known, app) if as_json else as_text(known))
        sys.stderr.flush()
    except OSError:
        pass
    return known.exit_code


def translate(error: BaseException) -> EpmError:
    """The same as an error of ours."""
    if isinstance(error, EpmError):
        return error
    if isinstance(error, (KeyboardInterrupt, Abort, EOFError)):
        return Interrupted("interrupted", hint="nothing is lost: run the command again")
    if isinstance(error, click.UsageError):
        return _usage(error)
    if isinstance(error, click.ClickException):
        return UsageError(error.format_message())
    if isinstance(error, FileNotFoundError) and error.filename is None and _is_nowhere():
        return UsageError(
            "the working directory is not there any more",
            hint="cd to one that is, or write places as they are seen from /",
        )
    if isinstance(error, OSError):
        known = from_system(error, hint=f"{DEBUG}=1 shows where it happened")
        if isinstance(error, (FileNotFoundError, NotADirectoryError)) and known.data["file"]:
            return NotFoundError(known.message, hint=known.hint, **known.data)
        return known
    if isinstance(error, MemoryError) or _NO_THREAD in str(error):
        return UnexpectedError(
            "no memory or no threads are left",
            hint="raise the limits of this process (`ulimit -a`); an interrupted checkout is"
            " finished by the next command",
        )
    reason = str(error) or type(error).__name__
    return UnexpectedError(
        f"unexpected error: {type(error).__name__}: {reason}",
        hint=f"this is a fault of epmstore; {DEBUG}=1 shows where it happened",
    )


def _is_nowhere() -> bool:
    """Whether our working directory was removed, or another got its name."""
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def _usage(error: click.UsageError) -> UsageError:
    if isinstance(error, NoSuchOption) and re.fullmatch(r"-\d.*", error.option_name):
        steps = error.option_name.lstrip("-")
        return UsageError(
            f"{error.option_name!r} is not a version",
            hint=f"versions before the latest are written latest~{steps[0]}",
        )
    missing = isinstance(error, NoArgsIsHelpError)
    message = "a command is missing" if missing else error.format_message().rstrip(".")
    message = message[:1].lower() + message[1:] if message[1:2].islower() else message
    name = error.ctx.command_path if error.ctx else "epmstore"
    return UsageError(message, hint=f"see: {name} --help")


def as_text(error: EpmError) -> str:
    """`epmstore: message` and `  hint: ...`, each one line, safe for a terminal."""
    from epmstore.cli.moments import in_local_time  # noqa: PLC0415 - start-up

    text = f"epmstore: {one_line(error.message)}\n"
    text += "".join(f"  {safe_text(line)}\n" for line in error.data.get("report", ()))
    text += f"  hint: {one_line(error.hint)}\n" if error.hint else ""
    return in_local_time(text)


def _as_json(error: EpmError, app: str | None) -> str:
    return encode(error_to_form(error, app)) + "\n"
