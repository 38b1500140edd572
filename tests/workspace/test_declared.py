"""Applications as files in apps.d: read strictly, written to be read back, applied at will."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.catalog.classes import Patterns
from epmstore.catalog.hooks import Hooks
from epmstore.errors import ConflictError, RootError, UsageError
from epmstore.workspace import Workspace
from epmstore.workspace.declared import Declared, parse_declared, render_declared

FULL = b"""
root = "/opt/crm"
follow = true
state = ["data/", "*.log"]
unit = "crm.service"
[hooks]
stop = "systemctl stop crm"
start = ["systemctl", "start", "crm"]
health_timeout = "2m"
"""


def test_a_file_is_an_application() -> None:
    assert parse_declared(FULL, "crm", "crm.toml") == Declared(
        key="crm",
        root="/opt/crm",
        follow=True,
        patterns=Patterns(state=("data/", "*.log")),
        unit="crm.service",
        hooks=Hooks(
            stop=("systemctl", "stop", "crm"),
            start=("systemctl", "start", "crm"),
            health_timeout=120.0,
        ),
    )


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "crm.toml: there is no root", "root ="),
        ("rot = '/opt'\n", "crm.toml: there is no key 'rot'", "'root'"),
        ("root = 'opt'\n", "root has to be an absolute path", None),
        ('root = "/o\\u0000"\n', "root has to be an absolute path", None),
        ("root = 1\n", "root has to be text", None),
        ("root = '/o'\nstate = 'data/'\n", "state has to be a list", None),
        ("root = '/o'\nfollow = 'yes'\n", "follow has to be true or false", None),
        ("root = '/o'\nignore = ['']\n", "crm.toml: ", None),
        ("root = '/o'\nunit = 'crm'\n", "'crm' is not the name of a service", "crm.service"),
        ("root = '/o'\n[hooks]\nstopp = 'x'\n", "no key 'stopp' in [hooks]", "'stop'"),
        ("root = '/o'\n[hooks]\nstop = 'a && b'\n", "needs a shell", "sh -c 'a && b'"),
        ("root = '/o'\n[hooks]\nstop = 1\n", "stop has to be a command", None),
        ("root = '/o'\n[hooks]\ntimeout = '5'\n", "'5' is not a duration", "30s"),
        ("root = '/o'\n[hooks]\nhealth_timeout = '0s'\n", "must be more than 0", None),
        ("root = \n", "crm.toml: ", None),
        (f"a = {'[' * 20_000}", "crm.toml: ", None),
    ],
)
def test_declaration_errors_are_named(text: str, message: str, hint: str | None) -> None:
    with pytest.raises(UsageError) as raised:
        parse_declared(text.encode(), "crm", "crm.toml")
    assert message in raised.value.message
    assert hint is None or hint in (raised.value.hint or "")


def test_a_name_that_is_no_key() -> None:
    with pytest.raises(UsageError, match=r"now.toml: 'now' cannot name an application"):
        parse_declared(b'root = "/o"', "now", "now.toml")


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


@given(
    texts.map("/{}".format),
    st.booleans(),
    st.lists(st.sampled_from(["a/", "*.log", 'q"', "\\\\x"]), max_size=3),
)
def test_declarations_round_trip(root: str, follow: bool, state: list[str]) -> None:
    wanted = Declared(
        key="crm",
        root=root,
        follow=follow,
        patterns=Patterns(state=tuple(state)),
        hooks=Hooks(stop=("sh", "-c", "echo 'x' | cat"), timeout=1.5),
    )
    assert parse_declared(render_declared(wanted), "crm", "crm.toml") == wanted


class Place:
    """A store with a configuration folder and a folder for units of its own."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.config = base / "etc"
        self.units = base / "units"
        self.file = self.config / "apps.d" / "crm.toml"
        self.drop_in = self.units / "crm.service.d" / "epmstore-crm.conf"
        self.root = base / "crm"
        (self.root / "bin").mkdir(parents=True)
        (self.root / "bin" / "crmd").write_text("one")
        self.file.parent.mkdir(parents=True)
        Workspace.init(base / "store").close()

    def open(self) -> Workspace:
        return Workspace.open(self.base / "store", config=self.config, units=self.units)

    def declare(self, text: str) -> None:
        self.file.write_text(f"root = '{self.root}'\n{text}")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_an_application_that_is_added_is_declared(place: Place) -> None:
    with place.open() as workspace:
        workspace.apps.add("crm", place.root, state=["*.log"])
        workspace.apps.set("crm", hooks=Hooks(stop=("true",)), unit="crm.service")
        assert [one.action for one in workspace.apps.apply_declared()] == ["unchanged"]
    text = place.file.read_text()
    assert text.startswith("# Written by epmstore")
    assert 'stop = "true"' in text and 'state = ["*.log"]' in text
    assert (place.file.stat().st_mode & 0o777) == 0o644


def test_a_declared_application_is_registered_and_changed_in_place(place: Place) -> None:
    place.declare("state = ['*.log']\n")
    with place.open() as workspace:
        assert [one.action for one in workspace.apps.apply_declared(dry_run=True)] == ["added"]
        assert workspace.apps.list() == ()
        assert [one.action for one in workspace.apps.apply_declared()] == ["added"]
        uuid = workspace.apps.get("crm").uuid
        workspace.app("crm").snapshot()
        place.declare("state = ['*.log', 'data/']\nunit = 'crm.service'\n")
        assert [one.action for one in workspace.apps.apply_declared()] == ["changed"]
        assert [one.action for one in workspace.apps.apply_declared()] == ["unchanged"]
        app = workspace.apps.get("crm")
        assert (app.uuid, app.patterns.state) == (uuid, ("*.log", "data/"))
        assert place.drop_in.exists()
        assert len(workspace.app("crm").versions()) == 1


def test_a_file_of_somebody_else_is_never_written(place: Place) -> None:
    place.declare("# mine\n")
    with place.open() as workspace:
        with pytest.raises(ConflictError, match="declared in"):
            workspace.apps.add("crm", place.root)
        workspace.apps.apply_declared()
        before = place.file.read_bytes()
        for act in (
            lambda: workspace.apps.set("crm", unit="x.service"),
            lambda: workspace.apps.move("crm", place.base),
            lambda: workspace.apps.remove("crm"),
        ):
            with pytest.raises(ConflictError, match="did not write it"):
                act()
        assert place.file.read_bytes() == before
        place.file.unlink()
        workspace.apps.remove("crm")
        assert workspace.apps.list() == ()


def test_one_wrong_file_does_not_hide_the_others(place: Place) -> None:
    place.declare("")
    (place.file.parent / "erp.toml").write_text("root = '/nowhere/at/all'\n")
    (place.file.parent / "bad.toml").write_text("rot = '/'\n")
    (place.file.parent / "README").write_text("not ours")
    with place.open() as workspace:
        found = {one.key: one for one in workspace.apps.apply_declared()}
        assert {key: one.action for key, one in found.items()} == {
            "bad": "failed",
            "crm": "added",
            "erp": "failed",
        }
        assert "'root'" in str(getattr(found["bad"].error, "hint", ""))
        assert [app.key for app in workspace.apps.list()] == ["crm"]


def test_a_declared_root_that_moved_has_to_look_like_it(place: Place) -> None:
    place.declare("")
    other = place.base / "other"
    (other / "stranger").mkdir(parents=True)
    with place.open() as workspace:
        workspace.apps.apply_declared()
        workspace.app("crm").snapshot()
        place.file.write_text(f"root = '{other}'\n")
        [found] = workspace.apps.apply_declared()
        assert found.action == "failed" and isinstance(found.error, RootError)
        place.root.rename(place.base / "moved")
        place.file.write_text(f"root = '{place.base / 'moved'}'\n")
        assert [one.action for one in workspace.apps.apply_declared()] == ["changed"]
        assert workspace.app("crm").status().clean


def test_a_unit_waits_for_recovery_until_it_is_released(place: Place) -> None:
    with place.open() as workspace:
        workspace.apps.add("crm", place.root)
        workspace.apps.set("crm", unit="crm.service")
        text = place.drop_in.read_text()
        unit = "epmstore-boot@crm.service"
        assert f"Requires={unit}\nAfter={unit}\n" in text
        workspace.apps.set("crm", unit="other.service")
        assert not place.drop_in.exists()
        workspace.apps.set("crm", unit="crm.service")
        workspace.apps.remove("crm")
        assert not place.drop_in.exists() and not place.file.exists()


def test_two_applications_of_one_unit(place: Place) -> None:
    (place.base / "erp").mkdir()
    with place.open() as workspace:
        for key in ("crm", "erp"):
            workspace.apps.add(key, place.base / key)
            workspace.apps.set(key, unit="crm.service")
        assert {path.name for path in place.drop_in.parent.iterdir()} == {
            "epmstore-crm.conf",
            "epmstore-erp.conf",
        }
        workspace.apps.set("erp", unit="")
        assert [path.name for path in place.drop_in.parent.iterdir()] == ["epmstore-crm.conf"]
        workspace.apps.remove("crm")
        assert not place.drop_in.exists()


def test_a_drop_in_of_somebody_else_stays(place: Place) -> None:
    with place.open() as workspace:
        workspace.apps.add("crm", place.root)
        workspace.apps.set("crm", unit="crm.service")
        place.drop_in.write_text("[Unit]\n")
        workspace.apps.set("crm", unit="")
        assert place.drop_in.exists()


def test_another_store_has_its_files_inside_and_no_units(place: Place) -> None:
    with Workspace.open(place.base / "store") as workspace:
        workspace.apps.add("crm", place.root)
        assert not (place.base / "store" / "apps.d").exists()
        with pytest.raises(UsageError, match="store of the system"):
            workspace.apps.set("crm", unit="crm.service")
