"""Heads: what is signed comes back; what anybody changed of it is refused, by a name."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epmstore.errors import (
    BadObjectError,
    BadSignatureError,
    EpmError,
    NoStoreError,
    UnreadableError,
)
from epmstore.refcat.signature import make_signature
from epmstore.relpath import text_to_json
from epmstore.sync.heads import (
    HEAD_MAX,
    SEGMENT_MAX,
    Head,
    SegmentRef,
    SignedHead,
    read_head,
    read_writer_key,
    sign_head,
)
from tests.sync.writers import (
    CRM,
    DEPOT,
    KEY,
    NOW,
    OTHER_KEY,
    OTHER_PUBLIC,
    OTHER_SECRET,
    PUBLIC,
    SECRET,
    head,
    head_app,
    signed,
)

DIGEST = "a" * 64


def read(data: bytes) -> SignedHead:
    return read_head(data, KEY.fingerprint, DEPOT, KEY, NOW)


def forged(line: bytes, secret: bytes = SECRET) -> bytes:
    """Any line, with a signature that is one of it."""
    return line + make_signature(line, secret)


def line_of(**changed: Any) -> bytes:
    said = json.loads(signed(head()).data.partition(b"\n")[0])
    return json.dumps({**said, **changed}).encode() + b"\n"


def test_a_head_comes_back_and_knows_its_digest() -> None:
    made = signed(head(number=7, prev=DIGEST, continues=OTHER_KEY.fingerprint))
    found = read(made.data)
    assert found == made
    app = found.head.app(CRM)
    assert app is not None and app.key == "crm" and found.head.app(DEPOT) is None


def test_keys_that_a_later_release_adds_are_passed_over() -> None:
    assert read(forged(line_of(later={"x": 1}))).head == head()


def test_a_later_format_or_feature_is_refused_by_name() -> None:
    with pytest.raises(NoStoreError, match="format 2"):
        read(forged(line_of(format=2)))
    with pytest.raises(NoStoreError, match="needs shards"):
        read(forged(line_of(features=["shards"], apps="another form altogether")))


@pytest.mark.parametrize("at", [0, 40, -200])
def test_a_flipped_byte_is_refused(at: int) -> None:
    data = bytearray(signed(head()).data)
    data[at] ^= 1
    with pytest.raises((BadSignatureError, BadObjectError)):
        read(bytes(data))


@pytest.mark.parametrize("size", [0, 1, 100, 400, 700])
def test_half_a_head_is_refused(size: int) -> None:
    with pytest.raises((BadSignatureError, BadObjectError)):
        read(signed(head()).data[:size])


def test_a_head_of_another_key_is_refused() -> None:
    with pytest.raises(BadSignatureError):
        read(forged(line_of(), OTHER_SECRET))


def test_a_head_of_another_writer_or_depot_is_not_taken_for_this_one() -> None:
    made = signed(head())
    with pytest.raises(BadObjectError, match="is one of"):
        read_head(made.data, KEY.fingerprint, "e" * 32, KEY, NOW)
    with pytest.raises(BadSignatureError):
        read_head(made.data, OTHER_KEY.fingerprint, DEPOT, OTHER_KEY, NOW)
    with pytest.raises(BadObjectError, match="is one of"):
        read(forged(line_of(writer=OTHER_KEY.fingerprint)))


def test_a_head_beyond_all_measure_is_not_looked_at() -> None:
    with pytest.raises(BadObjectError, match="larger"):
        read(signed(head()).data + bytes(HEAD_MAX))


def segments(*found: tuple[int, int, int, str]) -> dict[str, Any]:
    said = [
        {"first": first, "last": last, "size": size, "sha256": sha256}
        for first, last, size, sha256 in found
    ]
    app = {"app": CRM, "key": "crm", "root": "/opt/crm", "lines": 3, "line": DIGEST}
    return {"apps": [{**app, "segments": said}]}


BAD: dict[str, dict[str, Any]] = {
    "a gap": segments((0, 0, 1, DIGEST), (2, 2, 1, DIGEST)),
    "an overlap": segments((0, 1, 1, DIGEST), (1, 2, 1, DIGEST)),
    "a late begin": segments((1, 2, 1, DIGEST)),
    "backwards": segments((0, -1, 1, DIGEST)),
    "too few": segments((0, 1, 1, DIGEST)),
    "none": segments(),
    "empty": segments((0, 2, 0, DIGEST)),
    "huge": segments((0, 2, SEGMENT_MAX + 1, DIGEST)),
    "beyond numbers": segments((0, 2**60, 1, DIGEST)),
    "no digest": segments((0, 2, 1, "../../../etc/passwd")),
    "capital digest": segments((0, 2, 1, "A" * 64)),
    "number 0": {"number": 0},
    "a negative number": {"number": -1},
    "an endless number": {"number": 2**60},
    "no number": {"number": "1"},
    "a bad prev": {"prev": "x"},
    "a bad continues": {"continues": "../x"},
    "apps twice": {"apps": segments((0, 2, 1, DIGEST))["apps"] * 2},
    "no list": {"apps": {}},
    "no time": {"time": "soon"},
    "an endless time": {"time": "9" * 4000},
    "features are none": {"features": None},
}
OF_APPS: dict[str, Any] = {
    "app": "../x", "key": "../x", "line": "x", "lines": 4, "root": "//zz", "version": -1,
    "ended": "yesterday", "refcat": {"lines": "1"},
}  # fmt: skip
for field, value in OF_APPS.items():
    spoilt = segments((0, 2, 1, DIGEST))
    spoilt["apps"][0][field] = value
    BAD[f"a bad {field}"] = spoilt


@pytest.mark.parametrize("name", BAD)
def test_a_head_that_cannot_be_is_refused_whoever_signed_it(name: str) -> None:
    with pytest.raises((BadObjectError, NoStoreError)):
        read(forged(line_of(**BAD[name])))


@pytest.mark.parametrize(
    "line", [b"\n", b"[]\n", b"null\n", b"{}\n", b"[" * 5000 + b"\n", b"\xff\n"]
)
def test_no_head_at_all_is_refused(line: bytes) -> None:
    with pytest.raises((BadObjectError, NoStoreError)):
        read(forged(line))


@given(st.binary(max_size=200))
def test_any_bytes_end_in_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(EpmError):
        read(data)
    with pytest.raises(EpmError):
        read_writer_key(data, KEY.fingerprint)


def test_a_head_that_could_not_be_read_is_not_made() -> None:
    with pytest.raises(UnreadableError):
        signed(head(number=0))
    with pytest.raises(UnreadableError):
        signed(head(apps=(head_app(segments=(SegmentRef(0, 1, 1, DIGEST),)),)))
    with pytest.raises(UnreadableError):
        sign_head(head(), OTHER_SECRET, KEY, NOW)


def test_the_key_beside_a_head_is_the_one_that_its_id_says() -> None:
    assert read_writer_key(PUBLIC, KEY.fingerprint) == KEY
    for data in (OTHER_PUBLIC, SECRET, b"", PUBLIC + bytes(1 << 16)):
        with pytest.raises(BadObjectError):
            read_writer_key(data, KEY.fingerprint)


@settings(max_examples=30, deadline=None)
@given(
    number=st.integers(1, 2**53 - 1),
    sizes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 1 << 20)), min_size=1, max_size=5),
    root=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
)
def test_any_head_that_can_be_comes_back(
    number: int, sizes: list[tuple[int, int]], root: str
) -> None:
    found: list[SegmentRef] = []
    lines = 0
    for count, size in sizes:
        found.append(SegmentRef(lines, lines + count - 1, size, DIGEST))
        lines += count
    app = head_app(segments=tuple(found), lines=lines, root=text_to_json(f"/{root}"))
    whole: Head = head(number=number, apps=(app,))
    assert read(signed(whole).data).head == whole


def test_a_signature_of_something_else_is_none_of_this(tmp_path: Path) -> None:
    line, _, _ = signed(head()).data.partition(b"\n")
    _, _, signature = signed(head(number=2)).data.partition(b"\n")
    with pytest.raises(BadSignatureError):
        read(line + b"\n" + signature)
