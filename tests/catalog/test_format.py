"""Lines: what is written is what is read, and what is not a line is refused."""

import hashlib
import json
from collections.abc import Collection

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore import codec, seal
from epmstore.catalog.format import PART_ENTRIES, decode_line, encode, encode_line, open_line
from epmstore.catalog.model import (
    START,
    AcceptRecord,
    Counts,
    Fact,
    ForgetRecord,
    HoldRecord,
    LabelRecord,
    PinRecord,
    PurgeRecord,
    Requirement,
    SettingsRecord,
    SquashRecord,
    TagRecord,
    UnforgetRecord,
    UnknownRecord,
    VersionPart,
    VersionRecord,
    Written,
)
from epmstore.digest import BlobInfo, Digest, Sha256, identify
from epmstore.errors import DamagedError, NoStoreError, UsageError
from epmstore.relpath import RelPath, sort_paths
from epmstore.tree import Entry
from tests.catalog.trees import PATHS, deltas, file, folder, header

NOW = "2026-10-03T14:02:03.123Z"


def plain_lines(records: list[Written]) -> list[bytes]:
    lines = []
    for stored, _ in encode(records, START):
        found, body = seal.read(stored)
        assert found.end == len(stored)
        lines.append(open_line(found, body))
    return lines


def by_path(entries: Collection[Entry]) -> list[Entry]:
    found = {entry.path: entry for entry in entries}
    return [found[path] for path in sort_paths(found)]


def decode_version(line: bytes) -> VersionPart:
    _, record = decode_line(line)
    assert isinstance(record, VersionPart)
    return record


@given(deltas())
def test_any_version_comes_back(version: VersionPart) -> None:
    [line] = plain_lines([version])
    read = decode_version(line)
    assert read.header == version.header
    assert read.entries == by_path(version.entries)
    assert read.meta == by_path(version.meta)
    assert read.removed == sort_paths(version.removed)
    # and saying it again is saying the same
    assert encode_line(read, START) == line


FACTS: list[Fact] = [
    ForgetRecord(time=NOW, versions=(1, 2), actor={"uid": 0, "via": "cli"}),
    UnforgetRecord(time=NOW, versions=(1,)),
    PinRecord(time=NOW, version=1, pinned=False),
    TagRecord(time=NOW, name="good", version=3),
    TagRecord(time=NOW, name="good"),
    LabelRecord(time=NOW, version=4, label="patch 3 für alle"),
    HoldRecord(time=NOW, held=True, until=NOW, reason="audit"),
    SettingsRecord(time=NOW, settings={"keep_last": 3, "list": [1, {"a": None}]}),
    AcceptRecord(time=NOW, version=5, paths=(RelPath("a"), RelPath("b/\udcff"))),
    PurgeRecord(time=NOW, digest="0" * 40, reason="password"),
    PurgeRecord(time=NOW, path=RelPath("\udcff")),
    SquashRecord(time=NOW, first=1, last=4, stand_in="0" * 64),
]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_every_other_record_comes_back(fact: Fact) -> None:
    [line] = plain_lines([fact])
    assert decode_line(line)[1] == fact


def test_everything_that_is_said_of_a_version_comes_back() -> None:
    full = VersionRecord(
        version=132,
        app="u",
        key="crm",
        txid="t",
        time=NOW,
        actor={"uid": 0, "user": "root"},
        kind="change",
        reason="checkout",
        tree="f" * 64,
        counts=Counts(1, 2, 3),
        label="content of 117",
        window=(NOW, NOW),
        of=117,
        scope=(RelPath("etc"), RelPath("b\udce9")),
        safety=131,
        from_=130,
        exit_status=3,
        ignored="ab",
        unobserved=((RelPath("\udcff/x"), "permission denied"),),
        requires=(Requirement(app="db", min=3), Requirement(digest="0" * 40, optional=True)),
    )
    [line] = plain_lines([VersionPart(full)])
    assert decode_version(line).header == full
    assert json.loads(line)["from"] == 130


@given(st.lists(PATHS, min_size=1, max_size=30, unique=True))
def test_a_line_says_little_where_all_is_alike(paths: list[RelPath]) -> None:
    version = VersionPart(header(), [file(path, b"same", 0o755) for path in paths])
    found = json.loads(plain_lines([version])[0])
    [said] = found["components"].values()
    assert list(said.values()) == [{}] * len(paths) or len(paths) == 1


def test_the_list_form_is_a_path_with_nothing_to_say() -> None:
    version = VersionPart(header(), [file("bin/a", b"x"), file("bin/b", b"x")])
    [line] = plain_lines([version])
    found = json.loads(line)
    digest = identify(b"x").digest.hex()
    assert found["components"] == {digest: {"bin/a": {}, "bin/b": {}}}
    found["components"] = {digest: ["bin/a", "bin/b"]}
    assert decode_version(json.dumps(found).encode()).entries == version.entries


def test_a_large_version_becomes_parts_in_byte_order() -> None:
    count = PART_ENTRIES * 2 + 1
    paths = [RelPath(f"{n:05d}") for n in reversed(range(count))]
    version = VersionPart(
        header(7), [file(path) for path in paths[:-10]], [], [RelPath(p) for p in paths[-10:]]
    )
    parts = [decode_version(line) for line in plain_lines([version])]
    assert [(part.header.part, part.header.parts) for part in parts] == [(1, 3), (2, 3), (3, 3)]
    assert all(
        part.header == msgspec.structs.replace(version.header, part=n, parts=3)
        for n, part in enumerate(parts, 1)
    )
    assert [len(part.entries) + len(part.removed) for part in parts] == [4096, 4096, 1]
    seen = [path for part in parts for path in [*part.removed, *(e.path for e in part.entries)]]
    assert seen == sorted(paths)


def test_every_part_identifies_its_own_contents() -> None:
    version = VersionPart(header(), [file(f"{n:05d}", b"same") for n in range(PART_ENTRIES + 1)])
    for line in plain_lines([version]):
        found = json.loads(line)
        assert found["blobs"].keys() == found["components"].keys()


def test_an_empty_version_is_a_line() -> None:
    [line] = plain_lines([VersionPart(header())])
    assert decode_version(line) == VersionPart(header())


def test_two_contents_with_one_address_stay_two() -> None:
    one = identify(b"one")
    other = BlobInfo(one.digest, Sha256(b"\1" * 32), 77)
    entries = [
        msgspec.structs.replace(file("a"), content=one),
        msgspec.structs.replace(file("b"), content=other),
        msgspec.structs.replace(file("c"), content=one),
    ]
    [line] = plain_lines([VersionPart(header(), entries)])
    assert decode_version(line).entries == entries


def test_metadata_of_what_is_no_file_is_written_complete() -> None:
    [line] = plain_lines([VersionPart(header(), [], [folder("bin")])])
    read = decode_version(line)
    assert (read.entries, read.meta) == ([folder("bin")], [])


def test_lines_are_chained() -> None:
    lines = plain_lines([VersionPart(header()), *FACTS])
    prev = "0" * 64
    for seq, line in enumerate(lines):
        envelope, _ = decode_line(line)
        assert (envelope.seq, envelope.prev) == (seq, prev)
        prev = hashlib.sha256(line).hexdigest()


def test_a_path_that_occurs_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        plain_lines([VersionPart(header(), [file("a")], [], [RelPath("a")])])
    found = json.loads(encode_line(VersionPart(header(), [file("a")]), START))
    found["removed"] = ["a"]
    with pytest.raises(DamagedError, match="twice"):
        decode_line(json.dumps(found).encode())


def test_a_text_that_is_no_name_must_be_utf8() -> None:
    with pytest.raises(UsageError):
        plain_lines([TagRecord(time=NOW, name="\udcff", version=1)])


def test_unknown_types_and_keys_are_passed_over() -> None:
    line = json.dumps({"seq": 0, "type": "moon", "prev": "", "format": 1, "phase": [1]}).encode()
    assert decode_line(line)[1] == UnknownRecord("moon")
    found = json.loads(encode_line(VersionPart(header(), [file("a", b"x")]), START))
    found["later"] = {"x": 1}
    found["components"][identify(b"x").digest.hex()]["a"]["later"] = True
    assert decode_version(json.dumps(found).encode()).entries == [file("a", b"x")]


def test_an_unknown_format_is_refused() -> None:
    line = json.dumps({"seq": 0, "type": "pin", "prev": "", "format": 2}).encode()
    with pytest.raises(NoStoreError, match="format 2"):
        decode_line(line)


DIGEST = identify(b"x").digest.hex()


@pytest.mark.parametrize(
    "change",
    [
        {"components": {DIGEST: {"../a": {}}}},
        {"components": {DIGEST: {"/a": {}}}},
        {"components": {DIGEST: {"": {}}}},
        {"components": {DIGEST: {"//%2e%2e": {}}}},
        {"components": {DIGEST: {"a": {"mode": "0999"}}}},
        {"components": {DIGEST: {"a": {"mode": "17777"}}}},
        {"components": {DIGEST: {"a": {"mode": 420}}}},
        {"components": {DIGEST[:-1]: {"a": {}}}},
        {"components": {"00" * 20: {"a": {}}}},
        {"components": {DIGEST: {"a": {"xattrs": {"user.x": "?"}}}}},
        {"components": {DIGEST: {"a": {"class": "other"}}}},
        {"components": [1]},
        {"blobs": {DIGEST: {"size": 1, "sha256": "00"}}},
        {"version": "0"},
        {"reason": "whim"},
        {"scope": ["../x"]},
        {"seq": None},
    ],
)
def test_malformed_version_lines_are_damage(change: dict[str, object]) -> None:
    found = json.loads(encode_line(VersionPart(header(), [file("a", b"x")]), START))
    decode_line(json.dumps(found).encode())
    with pytest.raises(DamagedError):
        decode_line(json.dumps(found | change).encode())


def test_deeply_nested_lines_are_damage() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    with pytest.raises(DamagedError):
        decode_line(
            b'{"seq":0,"prev":"","type":"settings","time":"","settings":{"a":' + deep + b"}}"
        )


@pytest.mark.parametrize("line", [b"", b"\n", b"[]\n", b"{}\n", b'"\xff"\n', b"[" * 100_000])
def test_foreign_json_is_damage(line: bytes) -> None:
    with pytest.raises(DamagedError):
        decode_line(line)


@pytest.mark.parametrize(
    ("plain", "kind", "head"),
    [
        (b"{}\n", seal.RecordKind.FOOTER, b""),
        (b"{}\n", seal.RecordKind.LINE, b"head"),
        (b"{}", seal.RecordKind.LINE, b""),
        (b"{}\n{}\n", seal.RecordKind.LINE, b""),
    ],
)
def test_a_sealed_record_that_is_no_line_is_damage(
    plain: bytes, kind: seal.RecordKind, head: bytes
) -> None:
    body = codec.compress(plain)
    stored = seal.seal(kind, body, number=len(plain), head=head) + body
    with pytest.raises(DamagedError, match="at byte 0 is not"):
        open_line(*seal.read(stored))


def test_a_default_holds_for_more_than_one_path() -> None:
    found = json.loads(encode_line(VersionPart(header(), [file("a")]), START))
    assert "defaults" not in found
    found = json.loads(encode_line(VersionPart(header(), [file("a"), file("b")]), START))
    assert found["defaults"] == {"mtime_ns": 1}


def test_digests_are_the_bytes_they_were() -> None:
    info = BlobInfo(Digest(bytes(range(20))), Sha256(bytes(range(32))), 5)
    entry = msgspec.structs.replace(file("a"), content=info)
    [line] = plain_lines([VersionPart(header(), [entry])])
    found = json.loads(line)
    assert found["blobs"] == {
        "000102030405060708090a0b0c0d0e0f10111213": {
            "size": 5,
            "sha256": "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        }
    }
    assert decode_version(line).entries == [entry]
