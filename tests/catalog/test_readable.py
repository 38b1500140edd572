"""Nothing is written that its own reader would refuse: lines of catalogs, of any size."""

import copy
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epmstore.catalog import format as lines
from epmstore.catalog.format import decode_line, encode_line, plain_lines
from epmstore.catalog.history import CatalogFile
from epmstore.catalog.model import START, LabelRecord, VersionPart
from epmstore.catalog.sections import (
    BlobFacts,
    Defaults,
    PathFacts,
    Sections,
    is_surely_right,
    read_sections,
    write_sections,
)
from epmstore.errors import DamagedError, EpmError, InvalidNameError, UnreadableError, UsageError
from epmstore.relpath import ROOT, RelPath
from epmstore.tree import Entry
from tests.catalog.trees import deltas, file, header

ODD_PATHS = ["", ".", "..", "/", "a//b", "/a", "a/", "a/../b", "a/./b", "a\0b", "n" * 256]
ODD_PATHS += ["é" * 128, "a/" * 2047 + "abc", "//", "//%2e%2e/x"]
"""What no reader takes; the last as it stands in JSON."""
PLAIN = st.sampled_from(["a", "b/c", "é", "x" * 255, ".a", "..b", "c/.d", " ", "//%FF", "a\nb"])
ANY_PATHS = st.one_of(PLAIN, PLAIN, st.sampled_from(ODD_PATHS))
DIGESTS = st.one_of(
    st.sampled_from(["0" * 40, "ab" * 20, "cd" * 20]),
    st.sampled_from(["", "0" * 39, "0" * 38 + "  ", "x" * 40, "0" * 41, "\u0660" * 40, "AB" * 20]),
)
MODES = st.one_of(
    st.just(msgspec.UNSET), st.sampled_from(["0644", "", "8", "-1", "10000", "0o7", "1_7", " 7"])
)
FACTS = st.builds(
    PathFacts,
    mode=MODES,
    same_as=st.none() | ANY_PATHS,
    target=st.none() | ANY_PATHS,
    size=st.none() | st.just(3),
    sha256=st.none() | st.just("0" * 64) | st.just("0"),
)
TABLES = st.dictionaries(ANY_PATHS, FACTS, max_size=3)
SECTIONS = st.builds(
    Sections,
    defaults=st.none() | st.builds(Defaults, mode=st.none() | st.sampled_from(["0755", "9", ""])),
    components=st.dictionaries(DIGESTS, TABLES | st.lists(ANY_PATHS, max_size=2), max_size=2),
    links=TABLES,
    directories=TABLES,
    states=TABLES,
    meta=TABLES,
    removed=st.lists(ANY_PATHS, max_size=3),
    blobs=st.dictionaries(
        DIGESTS,
        st.builds(BlobFacts, size=st.just(1), sha256=st.sampled_from(["0" * 64, "0" * 63, "g"])),
        max_size=3,
    ),
)


def is_taken(sections: Sections) -> bool:
    try:
        read_sections(header(), sections)
    except (DamagedError, InvalidNameError, UsageError, ValueError):
        return False
    return True


@given(SECTIONS)
def test_the_quick_look_says_of_nothing_that_it_is_right_but_what_the_reader_takes(
    sections: Sections,
) -> None:
    assert not is_surely_right(sections) or is_taken(sections)


@settings(max_examples=25)
@given(deltas())
def test_it_says_so_of_what_is_plain(version: VersionPart) -> None:
    plain = all(
        entry.path.isascii() and (entry.same_as or "").isascii() for entry in version.entries
    )
    sections = write_sections(VersionPart(version.header, version.entries))
    clash = len({entry.content for entry in version.entries} - {None}) != len(sections.blobs)
    assert is_surely_right(sections) or not plain or clash


@pytest.mark.parametrize("path", ["a/é", "b" * 255, "a/" * 2047 + "a", "...", "a/..b"])
def test_any_possible_path_is_written(path: str) -> None:
    assert decode_line(encode_line(VersionPart(header(), [file(path)]), START))


ODD: dict[str, dict[str, Any]] = {
    **{f"path {path[:9]!r}": {"path": RelPath(path)} for path in ODD_PATHS[:-2]},
    "mode": {"mode": 0o10000},
    "negative mode": {"mode": -1},
    "kind": {"kind": "file", "path_class": "nothing"},
    "owner": {"uid": 1.5},
    "user": {"user": 7},
    "same_as": {"same_as": RelPath("../x")},
    "attribute": {"xattrs": (("user.x", "no bytes"),)},
    "digest": {"content": msgspec.structs.replace(file("a").content, digest=b"short")},  # type: ignore[type-var]
    "witness": {"content": msgspec.structs.replace(file("a").content, sha256=b"")},  # type: ignore[type-var]
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("beside", [0, 300], ids=["small", "large"])
def test_an_entry_that_no_reader_takes_is_not_written(
    tmp_path: Path, kind: str, beside: int
) -> None:
    good = [file(f"good/{number:03d}", b"%d" % number) for number in range(beside)]
    odd = msgspec.structs.replace(file("zz", b"zz"), **ODD[kind])
    catalog = CatalogFile(tmp_path / "c")
    with pytest.raises(EpmError) as caught:
        catalog.append([VersionPart(header(), [*good, odd])], START)
    assert isinstance(caught.value, UnreadableError | UsageError)
    assert not catalog.path.exists()


@pytest.mark.parametrize("path", ["../x", "/", "a\0"])
def test_neither_is_a_header(tmp_path: Path, path: str) -> None:
    good = [file(f"good/{number:03d}", b"%d" % number) for number in range(300)]
    for said in ({"scope": (RelPath(path),)}, {"unobserved": ((RelPath(path), "why"),)}):
        for entries in ([], good):
            with pytest.raises(UnreadableError):
                encode_line(VersionPart(header(**said), entries), START)
    wrong: list[dict[str, Any]] = [{"kind": "odd"}, {"version": "one"}, {"time": None}]
    for spoilt in [*wrong, {"parts": 1.5}]:
        odd = msgspec.structs.replace(header(), **spoilt)
        with pytest.raises(UnreadableError):
            encode_line(VersionPart(odd), START)
    with pytest.raises(UnreadableError):
        encode_line(LabelRecord(time="now", version=0, kind="odd"), START)  # type: ignore[arg-type]


def test_a_deep_actor_is_not_written() -> None:
    deep: dict[str, object] = {}
    for _ in range(100_000):
        deep = {"in": deep}
    with pytest.raises(UnreadableError):
        encode_line(LabelRecord(time="now", version=0, actor=deep), START)


def test_the_root_has_a_name_among_what_was_not_observed() -> None:
    said = header(unobserved=((RelPath(""), "unstable"), (RelPath("a"), "unreadable")))
    plain = encode_line(VersionPart(said), START)
    assert b'[".","unstable"]' in plain
    _, found = decode_line(plain)
    assert isinstance(found, VersionPart)
    assert found.header.unobserved == ((ROOT, "unstable"), (RelPath("a"), "unreadable"))
    assert encode_line(found, START) == plain


def test_a_line_that_names_the_root_by_nothing_can_be_read() -> None:
    """Programs of before wrote it, and could not read it."""
    plain = encode_line(VersionPart(header(unobserved=((ROOT, "unstable"),))), START)
    old = plain.replace(b'[".","unstable"]', b'["","unstable"]')
    assert old != plain
    assert decode_line(old) == decode_line(plain)


@settings(max_examples=25)
@given(deltas(), st.data())
def test_every_line_that_is_made_can_be_read(version: VersionPart, data: st.DataObject) -> None:
    """However the entries are spoilt: either there is no line, or a reader takes it."""
    spoilt = copy.copy(version)
    if version.entries:
        entries: list[Entry] = list(version.entries)
        at = data.draw(st.integers(0, len(entries) - 1))
        how = data.draw(st.sampled_from(sorted(ODD)))
        entries[at] = msgspec.structs.replace(entries[at], **ODD[how])
        spoilt = msgspec.structs.replace(version, entries=entries)
    try:
        made = list(plain_lines(spoilt, START))
    except (EpmError, ValueError, TypeError, AttributeError):
        return
    for plain in made:
        decode_line(plain)


def test_a_large_line_is_looked_at_as_strictly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same verdict whichever way a line is checked."""
    for kind in ODD:
        verdicts: list[type[Exception] | None] = []
        for small in (0, 1 << 30):
            monkeypatch.setattr(lines, "_SMALL", small)
            odd = msgspec.structs.replace(file("zz", b"zz"), **ODD[kind])
            try:
                encode_line(VersionPart(header(), [odd]), START)
            except EpmError as error:
                verdicts.append(type(error))
            except (TypeError, ValueError) as error:
                verdicts.append(type(error))
            else:
                verdicts.append(None)
        assert verdicts[0] == verdicts[1] is not None, kind
