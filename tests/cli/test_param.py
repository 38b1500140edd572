"""Parameters of what is installed, as an operator sets them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from epmstore.catalog.packaging import Parameter, ParameterFile
from tests.cli.test_json import check
from tests.kit.products import V1, V2, Products

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

pytestmark = pytest.mark.slow

PORT = Parameter(name="port", type="integer", default=8080, min=1, max=65535, restart=True)
LEVEL = Parameter(name="log-level", type="choice", choices=("info", "debug"), default="info")
MAIL = Parameter(name="admin", type="string", least=1, description="Who is told")
HOSTS = Parameter(name="hosts", type="string", most=3)
ENV = ParameterFile(path="etc/crm.env", format="env")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "opt" / "crm"


@pytest.fixture
def vendor(tmp_path: Path) -> Products:
    return Products(tmp_path / "vendor")


def pack(vendor: Products, root: Path, version: str, *parameters: Parameter, **more: Any) -> str:
    files = V1 if version < "4.1" else V2
    file = vendor.pack(
        files,
        version,
        root=str(root),
        parameters=parameters or (PORT, LEVEL, HOSTS),
        parameter_files=more.pop("files", (ENV,)),
        **more,
    )
    return str(file)


def env(root: Path) -> dict[str, str]:
    lines = (root / ENV.path).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def test_a_parameter_is_set_shown_and_taken_back(cli: "Cli", vendor: Products, root: Path) -> None:
    cli.ok("init")
    cli.ok("install", pack(vendor, root, "4.0.0"))
    assert env(root) == {"PORT": "8080", "LOG_LEVEL": "info"}
    assert (root / ENV.path).stat().st_mode & 0o777 == 0o644
    for found in (cli("verify", "--json"), cli("status", "--json")):
        assert found.code == 0, "a file of parameters is no deviation"

    dry = cli.ok("param", "set", "port", "9090", "--dry-run", "--json").shapes[0]
    check(dry, "plan")
    assert env(root)["PORT"] == "8080"
    [result] = cli.ok("param", "set", "port", "9090", "--json").shapes
    check(result)
    assert result["action"] == "parameter" and result["modified"] == 1
    assert env(root) == {"PORT": "9090", "LOG_LEVEL": "info"}
    assert cli("verify").code == 0
    assert cli.ok("param", "get", "port").out == "9090\n"
    cli.ok("param", "set", "hosts", "a.example", "b.example")
    assert env(root)["HOSTS"] == '"a.example b.example"'
    assert "parameter hosts = a.example b.example" in cli.ok("log").out

    for shape in cli.ok("param", "list", "--json").shapes:
        check(shape)
    history = cli.ok("param", "history", "port", "--json").shapes
    check(history[0])
    assert [(one["layer"], one["value"]) for one in history] == [("instance", 9090)]

    cli.ok("undo")
    assert "HOSTS" not in env(root) and env(root)["PORT"] == "9090"
    cli.ok("undo")
    assert env(root)["PORT"] == "8080" and cli.ok("param", "get", "port").out == "8080\n"
    cli.ok("redo")
    assert env(root)["PORT"] == "9090" and cli.ok("param", "get", "port").out == "9090\n"
    said = cli.ok("param", "reset", "port")
    assert env(root)["PORT"] == "8080" and "9090 -> 8080" in said.err
    [again] = cli.ok("param", "reset", "port", "--json").shapes
    assert not again["changed"]
    version = result["version"]
    cli.ok("checkout", str(version))
    assert env(root)["PORT"] == "9090" and cli.ok("param", "get", "port").out == "9090\n"


def test_refusals_change_nothing(cli: "Cli", vendor: Products, root: Path) -> None:
    cli.ok("init")
    cli.ok("install", pack(vendor, root, "4.0.0"))
    for words, code, says in (
        (("port", "0"), 2, "1 to 65535"),
        (("port", "x"), 2, "not of type integer"),
        (("prot", "1"), 5, "did you mean port?"),
        (("log-level", "debug", "info"), 2, "log-level: it has one value, not 2"),
        (("hosts", "two words"), 2, "spaces"),
        (("port", "1", "--for", "x"), 2, "not a duration"),
    ):
        refused = cli("param", "set", *words)
        assert refused.code == code and says in refused.err, words
    assert "string, a list of 0 to 3" in cli.ok("param", "list").out
    lasting = ("param", "set", "log-level", "info", "--for", "2h")
    assert cli.ok(*lasting, "--dry-run").out.endswith("no file to change\n")
    assert "taken back in 2h" in cli.ok(*lasting).err, "it is what it was, and not for good"
    file = root / ENV.path
    file.write_text("PORT=1\n")
    assert cli("verify").code == 1, "an edit is one"
    refused = cli("param", "set", "port", "9090")
    assert refused.code == 7 and "-PORT=8080" in refused.err and "+PORT=1" in refused.err
    assert cli("param", "set", "port", "9090", "--dry-run").code == 7
    assert file.read_text() == "PORT=1\n"
    cli.ok("param", "set", "port", "9090", "--replace")
    assert env(root)["PORT"] == "9090"
    cli.ok("undo")
    assert file.read_text() == "PORT=1\n", "what was there is in a version"


def test_hooks_run_only_for_what_counts_from_the_start_on(
    cli: "Cli", vendor: Products, root: Path, tmp_path: Path
) -> None:
    cli.ok("init")
    cli.ok("install", pack(vendor, root, "4.0.0"))
    trace = tmp_path / "trace"
    for hook in ("stop", "start"):
        script = tmp_path / hook
        script.write_text(f"#!/bin/sh\necho {hook} >> {trace}\n")
        script.chmod(0o755)
        cli.ok("app", "set", "crm", f"--{hook}", str(script))
    said = cli.ok("param", "set", "log-level", "debug")
    assert not trace.exists() and "was not restarted" in said.err
    cli.ok("param", "set", "port", "9090")
    assert trace.read_text().split() == ["stop", "start"]


def test_upgrades_keep_what_is_set_and_refuse_what_it_may_not_be(
    cli: "Cli", vendor: Products, root: Path
) -> None:
    cli.ok("init")
    cli.ok("install", pack(vendor, root, "4.0.0"))
    cli.ok("param", "set", "port", "9090")
    narrow = msgspec.structs.replace(PORT, max=9000, default=8081)
    refused = cli("upgrade", pack(vendor, root, "4.1.0", narrow, MAIL))
    assert refused.code == 7 and "`epmstore param reset port --app crm`" in refused.err
    assert env(root)["PORT"] == "9090"
    cli.ok("param", "set", "port", "9091", "--site")
    cli.ok("param", "set", "port", "8400")
    refused = cli("upgrade", "crm")
    assert refused.code == 7 and "`epmstore param reset port --site --app crm`" in refused.err
    cli.ok("param", "reset", "port", "--site", "--app", "crm")
    cli.ok("param", "set", "port", "8500")
    before = cli.ok("installed", "--json").shapes[0]["is"]["release"]
    cli.ok("upgrade", "crm")
    assert env(root) == {"PORT": "8500"} and cli("verify").code == 0
    assert "admin needs a value" in cli.ok("notes").out
    cli.ok("param", "set", "admin", "me@example.org")
    assert env(root)["ADMIN"] == "me@example.org"
    cli.ok("param", "set", "port", "8600")
    cli.ok("rollback", "crm")
    assert cli.ok("installed", "--json").shapes[0]["is"]["release"] == before
    assert env(root) == {"PORT": "8600", "LOG_LEVEL": "info"}, "what was set since stays"
    assert cli.ok("param", "get", "port").out == "8600\n" and cli("verify").code == 0
    cli.ok("uninstall", "crm")
    assert not (root / ENV.path).exists()
    refused = cli("param", "get", "port")
    assert refused.code == 5 and "nothing is installed in crm" in refused.err
    assert "epmstore install" in refused.err and "param list" not in refused.err
    cli.ok("undo")
    assert env(root)["PORT"] == "8600" and cli.ok("param", "get", "port").out == "8600\n"


def test_nothing_is_written_for_what_was_adopted_until_something_is_set(
    cli: "Cli", vendor: Products, root: Path
) -> None:
    cli.ok("init")
    file = pack(vendor, root, "4.0.0")
    cli.ok("catalog", "import", file)
    for path, data in {**V1, ENV.path: b"PORT=1\n"}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    cli.ok("install", "--adopt", "crm", "--root", str(root))
    assert (root / ENV.path).read_bytes() == b"PORT=1\n"
    refused = cli("param", "set", "port", "9090")
    assert refused.code == 7 and "never written" in refused.err
    cli.ok("param", "set", "port", "9090", "--replace")
    assert env(root)["PORT"] == "9090"


def test_a_second_instance_has_what_the_site_says(
    cli: "Cli", vendor: Products, root: Path, tmp_path: Path
) -> None:
    cli.ok("init")
    cli.ok("install", pack(vendor, root, "4.0.0"))
    second, third = (tmp_path / "srv" / name for name in ("two", "three"))
    for key, place in (("crm2", second), ("crm3", third)):
        place.mkdir(parents=True)
        cli.ok("app", "add", key, str(place), "--product", "crm")
    cli.ok("install", "crm", "--app", "crm2")
    cli.ok("param", "set", "port", "7000", "--app", "crm2")
    of_site = ("--app", "crm", "--site")
    results = cli.ok("param", "set", "log-level", "debug", *of_site, "--json").shapes
    assert [one["app"] for one in results] == ["crm", "crm2"]
    cli.ok("param", "set", "port", "9000", *of_site)
    assert env(root) == {"PORT": "9000", "LOG_LEVEL": "debug"}
    assert env(second) == {"PORT": "7000", "LOG_LEVEL": "debug"}, "an instance counts first"
    cli.ok("param", "reset", "port", "--app", "crm2")
    assert env(second)["PORT"] == "9000"
    cli.ok("install", "crm", "--app", "crm3")
    assert env(third) == {"PORT": "9000", "LOG_LEVEL": "debug"}


def test_a_plan_file_of_a_release_brings_what_is_installed_and_set(
    cli: "Cli", vendor: Products, root: Path, tmp_path: Path
) -> None:
    cli.ok("init")
    cli.ok("install", pack(vendor, root, "4.0.0"))
    cli.ok("param", "set", "port", "9090")
    toml = ParameterFile(path=ENV.path, format="toml", parameters=("port",))
    cli.ok("catalog", "import", pack(vendor, root, "4.1.0", files=(toml,)))
    plan = tmp_path / "plan"
    cli.ok("plan", "release:1", "-o", str(plan))
    cli.ok("apply", str(plan))
    assert (root / ENV.path).read_text().splitlines()[1:] == ["port = 9090"]
    assert cli.ok("installed", "--json").shapes[0]["is"]["release"] == 1
    assert cli("verify").code == 0
