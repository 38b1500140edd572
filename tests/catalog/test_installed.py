"""The installed set of a history: what says it, and what follows from it."""

import pytest
from msgspec.structs import replace

from epmstore.catalog.format import decode_line, encode_line
from epmstore.catalog.installed import (
    InstalledSet,
    as_set,
    find_product,
    installed_at,
    with_product,
    without_product,
)
from epmstore.catalog.model import START, Installed, VersionPart, VersionRecord
from epmstore.catalog.state import CatalogState, reduce
from tests.catalog.test_operations import VERSION

CRM = Installed(product="crm", release=14, digest="1" * 64)
PAY = Installed(product="pay", release=3, digest="2" * 64, parts=("client",), adopted=True)


def history(*sets: InstalledSet | None) -> CatalogState:
    return reduce(
        VersionPart(replace(VERSION, version=number, installed=said))
        for number, said in enumerate(sets)
    )


def test_a_version_without_a_word_has_the_set_of_the_one_before() -> None:
    state = history(None, (CRM,), None, (CRM, PAY), None, ())
    found = [installed_at(state, number) for number in range(6)]
    assert found == [(), (CRM,), (CRM,), (CRM, PAY), (CRM, PAY), ()]
    assert installed_at(state) == ()


def test_nothing_is_installed_before_anything_is_said() -> None:
    assert installed_at(history()) == installed_at(history(None, None)) == ()


def test_a_release_takes_the_place_of_another_one_of_its_product() -> None:
    newer = replace(CRM, release=15, digest="3" * 64)
    assert with_product((PAY,), CRM) == (CRM, PAY)
    assert with_product((CRM, PAY), newer) == (newer, PAY)
    assert without_product((CRM, PAY), "crm") == (PAY,)
    assert without_product((PAY,), "crm") == (PAY,)
    assert find_product((CRM, PAY), "pay") == PAY
    assert find_product((CRM,), "pay") is None


def test_a_product_is_installed_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        as_set([CRM, replace(CRM, release=2)])


def test_a_set_is_written_and_read_again() -> None:
    record: VersionRecord = replace(VERSION, installed=(CRM, PAY))
    _, found = decode_line(encode_line(VersionPart(record), START))
    assert isinstance(found, VersionPart) and found.header.installed == (CRM, PAY)
    _, found = decode_line(encode_line(VersionPart(replace(VERSION, installed=())), START))
    assert isinstance(found, VersionPart) and found.header.installed == ()
