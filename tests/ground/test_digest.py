import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epmstore.digest import (
    BlobInfo,
    Digest,
    Hasher,
    Sha256,
    check,
    check_no_collision,
    identify,
    identify_again,
    identify_stream,
    parse_digest,
    parse_sha256,
)
from epmstore.errors import CollisionError, DigestMismatchError, UsageError


def test_the_address_is_what_sha1sum_prints() -> None:
    assert identify(b"hello\n").digest.hex() == "f572d396fae9206628714fb2ce00f72e94f2258f"
    assert identify(b"").digest.hex() == "da39a3ee5e6b4b0d3255bfef95601890afd80709"


@given(st.lists(st.binary()))
def test_a_stream_is_its_whole(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    expected = BlobInfo(
        Digest(hashlib.sha1(whole).digest()), Sha256(hashlib.sha256(whole).digest()), len(whole)
    )
    assert identify(whole) == identify(memoryview(whole)) == expected
    assert identify_stream(chunks) == expected


def test_a_hasher_can_be_asked_in_between() -> None:
    hasher = Hasher()
    hasher.update(b"one")
    assert hasher.info() == identify(b"one")
    hasher.update(memoryview(b"two"))
    assert hasher.info() == identify(b"onetwo")


def test_check() -> None:
    wanted = identify(b"data")
    check(b"data", wanted)
    for wrong in (
        BlobInfo(wanted.digest, wanted.sha256, 5),
        BlobInfo(wanted.digest, identify(b"other").sha256, 4),
    ):
        with pytest.raises(DigestMismatchError) as caught:
            check(b"data", wrong)
        assert caught.value.data["digest"] == wanted.digest.hex()


def test_collisions() -> None:
    one = identify(b"one")
    check_no_collision(one, one)
    check_no_collision(one, identify(b"two"))
    two = BlobInfo(one.digest, identify(b"two").sha256, 3)
    with pytest.raises(CollisionError) as caught:
        check_no_collision(one, two)
    assert caught.value.data == {
        "digest": one.digest.hex(),
        "known": one.sha256.hex(),
        "found": two.sha256.hex(),
    }


@given(st.binary(min_size=20, max_size=20))
def test_digests_in_writing(raw: bytes) -> None:
    assert parse_digest(raw.hex()) == parse_digest(raw.hex().upper()) == raw
    assert parse_sha256((raw + raw[:12]).hex()) == raw + raw[:12]


@pytest.mark.parametrize("parse, length", [(parse_digest, 40), (parse_sha256, 64)])
def test_parsers_refuse_texts_that_are_no_digest(
    parse: Callable[[str], bytes], length: int
) -> None:
    right = "0f" * (length // 2)
    for text in ("", right[1:], right[2:], right + "00", "x" + right[1:], " " + right[2:] + " "):
        with pytest.raises(UsageError):
            parse(text)
    spaced = " ".join(right[at : at + 2] for at in range(0, length, 2))
    with pytest.raises(UsageError):
        parse(spaced)


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_identify_again_equals_identify(data: bytes, other: bytes) -> None:
    assert identify_again(data, None) == identify(data)
    assert identify_again(data, identify(other)) == identify(data)
    assert identify_again(data, identify(data)) == identify(data)
