"""Where the program begins.

`--version` is answered before anything else is imported, `status` by a daemon where one runs, and
everything else is left to epmstore/cli/program.py: what a command does not need, it must not wait
for.
"""

import sys

from epmstore import __version__


def main(args: list[str] | None = None) -> int:
    """Run one command; the exit code. Never raises."""
    words = sys.argv[1:] if args is None else args
    if words == ["--version"] and sys.stdout:
        sys.stdout.write(f"epmstore {__version__}\n")
        return 0
    try:
        if words[:1] == ["status"]:
            from epmstore.cli.quick import quick_status  # noqa: PLC0415 - see above

            code = quick_status(words[1:])
            if code is not None:
                return code
        from epmstore.cli import program  # noqa: PLC0415 - see above

        return program.run(words)
    except KeyboardInterrupt:
        sys.stderr.write("epmstore: interrupted\n")
        return 130
    except Exception as error:
        sys.stderr.write(f"epmstore: cannot start: {error}\n")
        return 4
