"""How a command is declared: options that all commands share, examples, and lazy loading.

A command is a function that takes the Session and its own parameters, prints its result, and
returns its exit code (None is 0). Its docstring is its help; the first line is its summary.
"""

import difflib
import importlib
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import click

from epmstore import __version__
from epmstore.cli.session import Session, keys_for_completion
from epmstore.cli.table import COMMANDS, EVERY_DAY, GROUPS, SECTIONS, below
from epmstore.errorform import plain_text

Callback: TypeAlias = Callable[..., int | None]
Example: TypeAlias = tuple[str, str]
"""A command line, and what it does in a few words."""


class _Path(click.Path):
    """Any name but the empty one, which would be the working directory here and nothing there."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not value:
            self.fail("an empty name is no file", param, ctx)
        return super().convert(value, param, ctx)


PATH = _Path(readable=False)
"""A path of the file system; the command that uses it says what is wrong with it."""


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Common options may stand before or after the command's name; the last one given wins."""
    if value not in (None, False, 0):
        session = ctx.find_object(Session)
        assert session is not None
        setattr(session, param.name or "", value)


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"epmstore {__version__}")
        ctx.exit()


def _complete_app(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [key for key in keys_for_completion(ctx) if key.startswith(incomplete)]


def _flag(*names: str, help: str, **more: Any) -> click.Option:
    return click.Option(
        names, is_flag=True, expose_value=False, callback=_remember, help=help, **more
    )


def common_options() -> list[click.Option]:
    return [
        click.Option(
            ("--store",),
            metavar="DIR",
            type=PATH,
            expose_value=False,
            callback=_remember,
            help="The store. Default: $EPMSTORE_STORE, or the one of root or of this user.",
        ),
        _flag("--json", help="Print JSON, errors too."),
        _flag("-q", "--quiet", help="Print results and errors only."),
        _flag("-v", "--verbose", help="Print everything, however long."),
    ]


def app_option() -> click.Option:
    return click.Option(
        ("--app",),
        metavar="KEY",
        expose_value=False,
        callback=_remember,
        shell_complete=_complete_app,
        help="The application. Default: the one around the working directory, or the only one.",
    )


class CliCommand(click.Command):
    """A click command with the common options, and examples at the end of its help."""

    def __init__(
        self,
        *args: Any,
        app: bool = False,
        changes: bool = False,
        asks: bool = False,
        examples: Sequence[Example] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.common = common_options()
        if asks:
            self.common.insert(0, _flag("-y", "--yes", help="Do not ask."))
        if changes:
            self.common.insert(0, _flag("--dry-run", help="Only show what would be done."))
        if app:
            self.common.insert(0, app_option())

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *self.common]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own = [p for p in self.get_params(ctx) if p not in self.common]
        for title, params in (("Options", own), ("Common options", self.common)):
            with formatter.section(title):
                formatter.write_dl(_help_records(ctx, params))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            indent = " " * formatter.current_indent
            for line, remark in self.examples:
                formatter.write(f"{indent}{line}\n{indent}    {remark}\n")


def _help_records(ctx: click.Context, params: Iterable[click.Parameter]) -> list[tuple[str, str]]:
    options = [p for p in params if isinstance(p, click.Option)]
    return [record for p in options if (record := p.get_help_record(ctx)) is not None]


def command(
    *,
    app: bool = False,
    changes: bool = False,
    asks: bool = False,
    examples: Sequence[Example],
    lenient: bool = False,
    **settings: Any,
) -> Callable[[Callback], CliCommand]:
    """Declare a command: `app` gives it --app, `changes` --dry-run, `asks` --yes. One that is
    `lenient` runs whatever the settings are.
    """

    def declare(function: Callback) -> CliCommand:
        def callback(**params: Any) -> int | None:
            session = click.get_current_context().find_object(Session)
            if session is not None and not lenient:
                session.check_settings()
            code = function(session, **params)
            if session is not None:
                _say_intent(session)
            return code

        callback.__doc__ = function.__doc__
        callback.__click_params__ = getattr(  # type: ignore[attr-defined]
            function, "__click_params__", []
        )
        name = function.__name__.replace("_", "-")
        made: CliCommand = click.command(
            name, cls=CliCommand, app=app, changes=changes, asks=asks, examples=examples, **settings
        )(callback)
        return made

    return declare


def _say_intent(session: Session) -> None:
    """A dry run whose words are for people alone says them to programs, too."""
    out = session.out
    if session.dry_run and session.json and not out.told.shapes:
        shape = {
            "type": "intent",
            "app": session.key,
            "command": click.get_current_context().command_path.partition(" ")[2],
            "would": [plain_text(text) for text in out.told.notes],
            "dry_run": True,
        }
        out.shape(shape)


class CliGroup(click.Group):
    """The commands of the table that begin with `prefix`, loaded when they are asked for."""

    def __init__(self, prefix: str = "", **settings: Any) -> None:
        super().__init__(**settings)
        self.prefix = prefix
        self.params += common_options()

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(below(self.prefix))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        words = f"{self.prefix} {cmd_name}".lstrip()
        if words in GROUPS:
            return CliGroup(words, name=cmd_name, help=GROUPS[words])
        row = COMMANDS.get(words)
        if row is None:
            return None
        module = importlib.import_module(f"epmstore.cli.{row.module}")
        found = getattr(module, row.attribute)
        assert isinstance(found, CliCommand)
        found.name = cmd_name
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        names = below(self.prefix)
        if word in names or word.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        near = [*difflib.get_close_matches(word, names), *_elsewhere(word)]
        advice = f" Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
        ctx.fail(f"There is no command {' '.join([self.prefix, word]).strip()!r}.{advice}")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """All commands of a group; of the whole program what is needed every day, and the names of
        the others, so that the first page is one screen.
        """
        if self.prefix:
            with formatter.section("Commands"):
                formatter.write_dl(list(below(self.prefix).items()))
            return
        with formatter.section("Every day"):
            formatter.write_dl([(words, COMMANDS[words].summary) for words in EVERY_DAY])
        with formatter.section("All commands"):
            width = formatter.width - formatter.current_indent - max(map(len, SECTIONS)) - 2
            formatter.write_dl([(title, _names(rows, width)) for title, rows in SECTIONS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """From the table, so that pressing Tab imports no command."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - start-up

        names = below(self.prefix)
        found = [CompletionItem(n, help=s) for n, s in names.items() if n.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]


def _names(rows: Iterable[str], width: int) -> str:
    """The words of commands, in lines that are not wrapped again; those that begin with the same
    one are one name: `app add|list`, as long as it fits into a line.
    """
    found: dict[str, list[str]] = {}
    for words in rows:
        first, _, rest = words.partition(" ")
        found.setdefault(first, []).append(rest)
    names = [name for first, rest in found.items() for name in _joined(first, rest, width - 1)]
    return "\n".join(["\b", *textwrap.wrap(", ".join(names), width, break_on_hyphens=False)])


def _joined(first: str, rest: list[str], width: int) -> Iterator[str]:
    """The commands of a group, as many together as fit into a line."""
    name = f"{first} {rest[0]}".rstrip()
    for word in rest[1:]:
        if len(name) + 1 + len(word) > width:
            yield name
            name = f"{first} {word}"
        else:
            name += f"|{word}"
    yield name


def _elsewhere(word: str) -> list[str]:
    return [words for words in COMMANDS if word in words.split(" ")]


def program() -> CliGroup:
    """The whole program."""
    version = click.Option(
        ("--version",),
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_version,
        help="Print the version of epmstore.",
    )
    group = CliGroup(name="epmstore", help=textwrap.dedent(_HELP), epilog=_EPILOG)
    group.params.append(version)
    return group


_HELP = """\
    Know what is on this host, since when it deviates, and get back.

    epmstore records the directory of an application as numbered versions, stores every content
    once, and puts any version back: exactly, crash-safe, verified, and with an undo.
    """
_EPILOG = "Each command has --help with examples; man epmstore has exit codes and more."
