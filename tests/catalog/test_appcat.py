"""Applications of a host: which may stand beside which, and a file in which no bit can flip."""

import hashlib
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.catalog.appcat import App, AppCat, RootIdentity, check_key, load, relative, save
from epmstore.catalog.classes import Patterns
from epmstore.errors import (
    AppNotFoundError,
    ConflictError,
    DamagedError,
    NoStoreError,
    RootError,
    UsageError,
)

CRM = App(uuid="u-crm", key="crm", root="/opt/crm")


def app(key: str, root: str, *ignore: str) -> App:
    return App(uuid=f"u-{key}", key=key, root=root, patterns=Patterns(ignore=ignore))


def test_an_appcat_comes_back(tmp_path: Path) -> None:
    full = App(
        uuid="u",
        key="full",
        root="/opt/\udcff",
        follow=True,
        identity=RootIdentity(inode=7, fs_uuid="f", fs_type="ext4"),
        patterns=Patterns(ignore=("*.tmp",), state=("data/",), config=("etc/",), secret=("*.key",)),
        cross_mounts=True,
        created="2026-10-03T14:02:03.123Z",
        options={"stop_hook": ["systemctl", "stop", "crm"], "retries": 3},
    )
    appcat = AppCat().add(CRM).add(full)
    save(tmp_path / "appcat.json", appcat)
    assert load(tmp_path / "appcat.json") == appcat
    assert [each.key for each in appcat.apps] == ["crm", "full"]


def test_no_file_is_no_application(tmp_path: Path) -> None:
    assert load(tmp_path / "appcat.json") == AppCat()


def test_every_flipped_byte_and_every_cut_is_found(tmp_path: Path) -> None:
    path = tmp_path / "appcat.json"
    save(path, AppCat((CRM,)))
    data = path.read_bytes()
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << (at % 8)
        path.write_bytes(flipped)
        with pytest.raises(DamagedError):
            load(path)
        path.write_bytes(data[:at])
        with pytest.raises(DamagedError):
            load(path)


def rewrite(path: Path, document: dict[str, object]) -> None:
    text = json.dumps(document | {"sha256": "0" * 64}, indent=2).encode()
    path.write_bytes(text.replace(b"0" * 64, hashlib.sha256(text).hexdigest().encode(), 1))


def test_unknown_keys_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "appcat.json"
    save(path, AppCat((CRM,)))
    document = json.loads(path.read_bytes())
    document["moon"] = {"phase": 1}
    document["apps"][0] |= {"later": [1], "other": "x"}
    rewrite(path, document)
    appcat = load(path)
    assert appcat.apps[0].other == {"later": [1], "other": "x"}
    save(path, appcat.change(msgspec.structs.replace(appcat.find("crm"), root="/srv/crm")))
    document["apps"][0]["root"] = "/srv/crm"
    assert json.loads(path.read_bytes()) | {"sha256": ""} == document | {"sha256": ""}


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "appcat.json"
    rewrite(path, {"sha256": "", "format": 2, "apps": []})
    with pytest.raises(NoStoreError, match="format 2"):
        load(path)
    rewrite(path, {"sha256": "", "format": 1, "apps": [{"key": "x"}]})
    with pytest.raises(DamagedError):
        load(path)


@pytest.mark.parametrize("key", ["crm", "a", "0a", "crm-4.1_x", "x" * 64])
def test_keys(key: str) -> None:
    check_key(key)


@pytest.mark.parametrize(
    "key", ["", "12", "latest", "now", "CRM", "-a", ".a", "a b", "a/b", "a:b", "é", "x" * 65, "a\n"]
)
def test_appcat_refuses_keys_that_are_none(key: str) -> None:
    with pytest.raises(UsageError):
        AppCat().add(app(key, "/opt/x"))


@pytest.mark.parametrize("root", ["opt/x", "", "/opt/", "/opt/../x", "/opt//x", "/./x"])
def test_appcat_refuses_roots_that_are_none(root: str) -> None:
    with pytest.raises(UsageError):
        AppCat().add(app("x", root))


def test_one_key_one_root_one_uuid() -> None:
    appcat = AppCat().add(CRM)
    with pytest.raises(ConflictError) as caught:
        appcat.add(app("crm", "/opt/other"))
    assert not isinstance(caught.value, RootError)
    with pytest.raises(ConflictError, match="UUID"):
        appcat.add(App(uuid="u-crm", key="other", root="/opt/other"))
    with pytest.raises(RootError, match="is the root of 'crm'"):
        appcat.add(app("other", "/opt/crm"))


def test_nested_roots_need_the_outer_to_ignore_the_inner() -> None:
    outer, inner = app("outer", "/opt"), app("inner", "/opt/a/b")
    for first, second in ((outer, inner), (inner, outer)):
        with pytest.raises(RootError, match="lies in that of 'outer'") as caught:
            AppCat().add(first).add(second)
        assert caught.value.hint is not None
        assert "--ignore '/a/b/'" in caught.value.hint
    for pattern in ("/a/b/", "/a/", "b", "*"):
        yielding = app("outer", "/opt", pattern)
        assert len(AppCat().add(yielding).add(inner).apps) == 2
        assert len(AppCat().add(inner).add(yielding).apps) == 2
    with pytest.raises(RootError):
        AppCat().add(app("outer", "/opt", "/a/b/*")).add(inner)
    with pytest.raises(RootError):
        AppCat().add(app("outer", "/")).add(inner)
    # a common beginning is no nesting, and what the inner ignores does not matter
    AppCat().add(app("a", "/opt/a")).add(app("b", "/opt/ab"))
    with pytest.raises(RootError):
        AppCat().add(outer).add(app("inner", "/opt/a", "*"))


def test_finding() -> None:
    appcat = AppCat().add(app("outer", "/opt", "/crm/")).add(CRM)
    assert appcat.find("crm") == CRM
    assert appcat.find_containing("/opt/crm/bin") == CRM
    assert appcat.find_containing("/opt/crm") == CRM
    assert appcat.find_containing("/opt/crmx") == appcat.find("outer")
    assert appcat.find_containing("/srv") is None
    with pytest.raises(AppNotFoundError) as caught:
        appcat.find("cmr")
    assert caught.value.hint == "known: crm, outer"


def test_changing_and_removing() -> None:
    appcat = AppCat().add(CRM).add(app("web", "/opt/web"))
    moved = msgspec.structs.replace(CRM, key="crm2", root="/opt/crm2")
    assert appcat.change(moved).find("crm2") == moved
    with pytest.raises(RootError):
        appcat.change(msgspec.structs.replace(CRM, root="/opt/web"))
    assert appcat.remove("u-crm").apps == (app("web", "/opt/web"),)
    for unknown in (appcat.remove, lambda uuid: appcat.change(app("x", "/x"))):
        with pytest.raises(AppNotFoundError):
            unknown("u-x")


def test_patterns_are_checked_when_they_are_given() -> None:
    with pytest.raises(UsageError, match="pattern"):
        AppCat().add(app("x", "/x", "!"))


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        save(tmp_path / "appcat.json", AppCat().add(app("x", "/x", "\udcff")))
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.sampled_from(["a", "b"]), max_size=3), st.sampled_from(["/", "/a", "/a/b"]))
def test_relative_paths(names: list[str], root: str) -> None:
    path = "/" + "/".join(names)
    found = relative(path, root)
    inside = Path(path).is_relative_to(root)
    assert (found is not None) == inside
    if inside:
        assert found == str(Path(path).relative_to(root)).removeprefix(".")
