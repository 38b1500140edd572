"""Values go into a file of each format, and a reader that knows nothing of us has them back."""

import configparser
import json
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epmstore.catalog.packaging import Parameter, ParameterFile
from epmstore.errors import UsageError
from epmstore.refcat.parameter_values import (
    ParameterValue,
    check_value,
    parse_value,
    said_value,
)
from epmstore.refcat.rendering import check_names, check_sayable, env_name, render

TEXT = st.text(
    st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp", "Cf"]), max_size=12
) | st.sampled_from(["", " a", "$HOME", "`id`", '"', "\\", "it's", "a;b#c", "%(x)s", "a=b", "x\\n"])


@st.composite
def settings_of_one(draw: st.DrawFn, name: str) -> tuple[Parameter, ParameterValue]:
    kind = draw(st.sampled_from(["string", "integer", "number", "boolean", "duration", "choice"]))
    values: Mapping[str, st.SearchStrategy[Any]] = {
        "string": TEXT,
        "integer": st.integers(-(1 << 53), 1 << 53),
        "number": st.floats(allow_nan=False, allow_infinity=False),
        "boolean": st.booleans(),
        "duration": st.sampled_from(["90s", "1d12h", "0"]),
        "choice": st.sampled_from(["a", "b c"]),
    }
    most = draw(st.sampled_from([1, 3]))
    value = draw(values[kind] if most == 1 else st.lists(values[kind], max_size=3).map(tuple))
    choices = ("a", "b c") if kind == "choice" else ()
    section = draw(st.sampled_from(["", "Network", "A b"]))
    return Parameter(name=name, type=kind, choices=choices, most=most, section=section), value


NAMES = ("x-port", "x.Host", "x_c")
SEVERAL = st.tuples(*map(settings_of_one, NAMES))


def read_back(kind: str, place: Path, parameters: list[Parameter]) -> dict[str, Any]:
    if kind == "json":
        return dict(json.loads(place.read_bytes()))
    if kind == "toml":
        return tomllib.loads(place.read_text())
    if kind == "env":
        script = 'set -a; . "$1"; env -0'
        out = subprocess.run(
            ["env", "-i", "/bin/sh", "-c", script, "sh", str(place)],
            check=True,
            capture_output=True,
        )
        pairs = dict(one.split("=", 1) for one in out.stdout.decode().split("\0") if one)
        return {
            one.name: pairs[env_name(one.name)] for one in parameters if env_name(one.name) in pairs
        }
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(place, encoding="utf-8")
    return {one.name: parser[one.section or "main"].get(one.name) for one in parameters}


@pytest.mark.parametrize("kind", ["env", "json", "toml", "ini"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=SEVERAL)
def test_other_readers_read_back_each_value(
    tmp_path: Path, kind: str, chosen: tuple[tuple[Parameter, ParameterValue], ...]
) -> None:
    said = {}
    for one, value in chosen:
        check_value(one, value)
        try:
            check_sayable(kind, one, value)
        except UsageError:
            continue
        said[one.name] = value
    parameters = [one for one, _ in chosen]
    file = ParameterFile(path="f", format=kind)
    place = tmp_path / "f"
    place.write_bytes(render(file, parameters, said))
    found = read_back(kind, place, [one for one in parameters if one.name in said])
    for one, value in chosen:
        if one.name not in said:
            assert one.name not in found
        elif kind in ("json", "toml"):
            wanted = list(value) if isinstance(value, tuple) else value
            assert found[one.name] == wanted
            assert type(found[one.name]) is type(wanted)
        else:
            assert found[one.name] == said_value(value)


@given(pair=settings_of_one("a"))
def test_words_of_a_person_are_the_value(pair: tuple[Parameter, ParameterValue]) -> None:
    one, value = pair
    words = [said_value(each) for each in (value if isinstance(value, tuple) else (value,))]
    assert parse_value(one, words) == value


@pytest.mark.parametrize(
    ("one", "words", "says"),
    [
        (Parameter(name="a", type="integer", max=9), ["10"], "9 or less"),
        (Parameter(name="a", type="integer"), ["1.5"], "not of type integer"),
        (Parameter(name="a", type="number"), ["nan"], "no value"),
        (Parameter(name="a", type="boolean"), ["maybe"], "true or false"),
        (Parameter(name="a", type="choice", choices=("x", "y")), ["z"], "none of x, y"),
        (Parameter(name="a", type="duration", min="1m", max="1h"), ["5s"], "1m to 1h"),
        (Parameter(name="a", type="size"), ["5 parsecs"], "not a size"),
        (Parameter(name="a", type="string", max=3), ["long"], "3 letters or less"),
        (Parameter(name="a", type="string"), ["two\nlines"], "control character"),
        (Parameter(name="a", type="string"), ["\udc80"], "not UTF-8"),
        (Parameter(name="a", type="string", least=1, most=2), ["1", "2", "3"], "not 3"),
        (Parameter(name="a", type="string"), ["1", "2"], "one value"),
    ],
)
def test_another_value_is_refused(one: Parameter, words: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_value(one, words)


def test_names_that_a_format_takes_for_one_are_refused() -> None:
    both = [Parameter(name="a-b", type="string"), Parameter(name="A.b", type="string")]
    check_names(ParameterFile(path="f", format="json"), both)
    with pytest.raises(UsageError, match="A_B"):
        check_names(ParameterFile(path="f", format="env"), both)
    with pytest.raises(UsageError, match="section"):
        check_names(
            ParameterFile(path="f", format="ini"),
            [Parameter(name="a", type="string", section="DEFAULT")],
        )
