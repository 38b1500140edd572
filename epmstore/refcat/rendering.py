"""Parameters as the file that an application reads: env, json, toml, ini. Pure.

A file has a line that says who wrote it, where its format has comments, and then each parameter
that has a value, in the order in which the package declares them. What a format cannot say so that
every reader gets the same back is refused, when it is set or published, and not when it is read.

    env     NAME=value, name in capitals, `.` and `-` as `_`; quoted so that a POSIX shell and
            systemd's EnvironmentFile= read the same
    json    one object
    toml    one table
    ini     name = value, in the section of the parameter, or in `main`

A list is one in JSON and TOML, and words with spaces between them in env and ini.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from epmstore.catalog.packaging import Parameter, ParameterFile
from epmstore.errors import UsageError
from epmstore.refcat.parameter_values import ParameterValue, said_value

FIRST: Final = "# Written by epmstore: change it with `epmstore param set`."
SECTION: Final = "main"
"""Of parameters that are in none, in files that have sections."""
_PLAIN_WORD: Final = re.compile(r"[A-Za-z0-9_./:@%+,-]+")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_QUOTED: Final = re.compile(r'(["\\$`])')


def render(
    file: ParameterFile, parameters: Sequence[Parameter], values: Mapping[str, ParameterValue]
) -> bytes:
    """A whole file. What has no value is left out. Raises UsageError for a format that this release
    does not know, and for what a format cannot say.
    """
    chosen = [one for one in of_file(file, parameters) if one.name in values]
    for one in chosen:
        check_sayable(file.format, one, values[one.name])
    return _writer(file.format)(chosen, values).encode()


def of_file(file: ParameterFile, parameters: Iterable[Parameter]) -> list[Parameter]:
    """The parameters that a file has, in their order."""
    return [one for one in parameters if not file.parameters or one.name in file.parameters]


def check_names(file: ParameterFile, parameters: Sequence[Parameter]) -> None:
    """Raises UsageError where two parameters would have one name in a file, and for sections that
    it cannot have. Of a format that is not known, nothing is asked.
    """
    seen: dict[tuple[str, str], str] = {}
    for one in of_file(file, parameters):
        match file.format:
            case "env":
                place = ("", env_name(one.name))
            case "ini":
                place = (_section(one), one.name.lower())
                if "]" in place[0] or place[0] == "DEFAULT" or place[0] != place[0].strip():
                    raise UsageError(f"{place[0]!r} cannot be a section of an ini file")
            case _:
                return
        other = seen.setdefault(place, one.name)
        if other != one.name:
            raise UsageError(f"{other!r} and {one.name!r} have the same name in a file: {place[1]}")


def check_sayable(file_format: str, one: Parameter, value: ParameterValue) -> None:
    """Raises UsageError for what a format cannot say."""
    if file_format not in ("env", "ini"):
        return
    if isinstance(value, tuple):
        if any(not text or " " in text for text in map(said_value, value)):
            raise UsageError(
                f"it is a list in a file of format {file_format}, where words are apart by"
                " spaces: none of them may be empty, or have one"
            )
    elif file_format == "ini" and said_value(value) != said_value(value).strip():
        raise UsageError("it is in an ini file, where spaces at an end are lost")


def env_name(name: str) -> str:
    """What a parameter is called in the environment."""
    return re.sub(r"[.-]", "_", name).upper()


def _env(chosen: Sequence[Parameter], values: Mapping[str, ParameterValue]) -> str:
    lines = [FIRST]
    for one in chosen:
        text = said_value(values[one.name])
        if not _PLAIN_WORD.fullmatch(text):
            quoted = _QUOTED.sub(r"\\\1", text)
            text = f'"{quoted}"'
        lines.append(f"{env_name(one.name)}={text}")
    return "\n".join([*lines, ""])


def _json(chosen: Sequence[Parameter], values: Mapping[str, ParameterValue]) -> str:
    said = {one.name: values[one.name] for one in chosen}
    return json.dumps(said, ensure_ascii=False, indent=2) + "\n"


def _toml(chosen: Sequence[Parameter], values: Mapping[str, ParameterValue]) -> str:
    lines = [FIRST]
    for one in chosen:
        key = one.name if _BARE_KEY.fullmatch(one.name) else json.dumps(one.name)
        lines.append(f"{key} = {_toml_value(values[one.name])}")
    return "\n".join([*lines, ""])


def _toml_value(value: ParameterValue) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # TOML's escapes are JSON's, for one line
    return said_value(value)


def _ini(chosen: Sequence[Parameter], values: Mapping[str, ParameterValue]) -> str:
    sections: dict[str, list[str]] = {}
    for one in chosen:
        line = f"{one.name} = {said_value(values[one.name])}".rstrip()
        sections.setdefault(_section(one), []).append(line)
    parts = ["\n".join([f"[{name}]", *lines, ""]) for name, lines in sections.items()]
    return "\n".join([FIRST, *parts] if parts else [FIRST, ""])


def _section(one: Parameter) -> str:
    return one.section or SECTION


_Writer = Callable[[Sequence[Parameter], Mapping[str, ParameterValue]], str]
_WRITERS: Final[Mapping[str, _Writer]] = {"env": _env, "json": _json, "toml": _toml, "ini": _ini}


def _writer(file_format: str) -> _Writer:
    try:
        return _WRITERS[file_format]
    except KeyError:
        raise UsageError(
            f"a file of format {file_format!r} cannot be written: this release does not know it",
            hint="use a newer release of epmstore",
        ) from None
