"""One run of the command line: parse, run, and turn every way to end into an exit code.

Nothing escapes: whatever is raised below becomes one line on stderr, a hint, and the exit code that
docs/cli.md promises. 1 is never among those: it means "differences found".
"""

import gc
import io
import os
import sys

from click.exceptions import Exit

from epmstore import limits
from epmstore.cli import failure
from epmstore.cli.command import program
from epmstore.cli.output import OutputError
from epmstore.cli.session import Session
from epmstore.cli.stdio import BROKEN_PIPE, COMPLETE, is_output_broken, prepare_streams
from epmstore.errors import IncompleteError

COLLECT = (100_000, 20, 100)
"""When Python looks for garbage in cycles, of which a command makes next to none: looking through
the entries of a large tree, as often as Python would, costs a tenth of a snapshot.
"""


def run(args: list[str]) -> int:
    """The exit code of one command line."""
    prepare_streams()
    limits.raise_descriptors()
    limits.keep_own_rights()
    gc.set_threshold(*COLLECT)
    session = Session()
    try:
        code = _complete(args) if COMPLETE in os.environ else _execute(args, session)
        if session.is_partial and code in (0, 1):  # what was not seen outranks differences
            code = IncompleteError.exit_code
        sys.stdout.flush()
    except BrokenPipeError:
        # what is still buffered has no reader, and must not be flushed at exit
        sys.stdout = io.StringIO()
        return BROKEN_PIPE
    except (OSError, OutputError) as error:
        is_broken = is_output_broken()
        found = OutputError.of(error) if is_broken and isinstance(error, OSError) else error
        return failure.report(found, as_json=session.json or asks_for_json(args), app=session.key)
    except (Exception, KeyboardInterrupt) as error:
        return failure.report(error, as_json=session.json or asks_for_json(args), app=session.key)
    return code


def _execute(args: list[str], session: Session) -> int:
    failure.check_environment()
    group = program()
    try:
        with group.make_context("epmstore", list(args), obj=session) as ctx:
            code = group.invoke(ctx)
    except Exit as end:
        return end.exit_code
    return code if isinstance(code, int) else 0


def _complete(args: list[str]) -> int:
    from click.shell_completion import shell_complete  # noqa: PLC0415 - start-up

    instruction = os.environ[COMPLETE]
    return shell_complete(program(), {"obj": Session()}, "epmstore", COMPLETE, instruction)


def asks_for_json(args: list[str]) -> bool:
    """Whether --json was given, for errors that come before the arguments are understood."""
    own = args[: args.index("--")] if "--" in args else args
    return "--json" in own
