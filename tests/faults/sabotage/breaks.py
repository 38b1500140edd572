"""A bug for each rule that an ordinary test stands for; `caught_by` is that test, which must fail.

`seeded.py` has those of durability and order, which the campaigns find.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple


class Break(NamedTuple):
    rule: str
    make: Callable[[], None]
    caught_by: str


def instead(module: str, name: str, value: object) -> Callable[[], None]:
    """A function of a module, or of a class in it, does something else."""

    def make() -> None:
        owner: Any = import_module(f"epmstore.{module}" if "epmstored" not in module else module)
        *inner, last = name.split(".")
        for part in inner:
            owner = getattr(owner, part)
        setattr(owner, last, value)

    return make


def nothing(*_: object, **__: object) -> None:
    """What a check does that is left out."""


def always(value: object) -> Callable[..., object]:
    return lambda *_, **__: value


def nothing_is_racy() -> None:
    pack = import_module("epmstore.scan.compare").pack_stats
    instead("scan.compare", "pack_stats", lambda *said, settled_ns=None: pack(*said))()


def all_locks_shared() -> None:
    locks = import_module("epmstore.locks")
    acquire = locks._acquire
    instead(
        "locks",
        "_acquire",
        lambda fd, name, *, shared, wait: acquire(fd, name, shared=True, wait=wait),
    )()


def lock_files_removed() -> None:
    hold = import_module("epmstore.locks").hold

    @contextlib.contextmanager
    def bad(folder: Path, name: str, **said: Any) -> Iterator[None]:
        with hold(folder, name, **said):
            yield
        os.unlink(folder / name)

    instead("locks", "hold", bad)()


def open_to_others() -> None:
    fsio = import_module("epmstore.fsio")

    def bad(name: str | bytes, parent: int, mode: int = 0o600) -> int:
        fsio._before("create", name, parent)
        return os.open(name, fsio.CREATE, mode | 0o044, dir_fd=parent)

    instead("fsio", "create", bad)()


def contents_not_compared() -> None:
    store = import_module("epmstore.blobs.blob_store")

    def bad(self: Any, place: Any, base: Any, wanted: Any = None) -> bytes:
        data = self._reader.frame(place)[place.offset : place.offset + place.length]
        if base is not None:
            data = store.codec.decompress_delta(data, self._full(base), place.size)
        return bytes(data)

    instead("blobs.blob_store", "PackStore._content", bad)()


def any_format() -> None:
    class Any_(int):
        def __ne__(self, other: object) -> bool:
            return False

        __hash__ = int.__hash__

    instead("store.identity", "FORMAT", Any_(1))()


LOCKS = "tests/ground/test_locks.py::"
STEADY = "tests/scan/test_steady.py::"
GATE = "tests/daemon/api/test_gate.py::"
PREFLIGHT = "tests/checkout/test_preflight.py::"
MALFORMED = "tests/refcat/test_malformed.py::"
RELEASING = "tests/refcat/test_releasing.py::"

BREAKS: dict[str, Break] = {
    "locks are shared": Break("L", all_locks_shared, f"{LOCKS}test_one_at_a_time"),
    "lock files are removed": Break("L", lock_files_removed, f"{LOCKS}test_the_file_stays"),
    "files are for all to read": Break(
        "P", open_to_others, "tests/acceptance/test_privacy.py::test_a_store_is_private"
    ),
    "the index has the mode that SQLite gives it": Break(
        "P",
        instead("sqlite", "_create", nothing),
        "tests/acceptance/test_privacy.py::test_a_store_is_private",
    ),
    "a vendor grants privileges": Break(
        "P",
        instead("refcat.hygiene", "mask", lambda entry: entry),
        f"{RELEASING}test_release_checkout_writes_no_owners_or_privileges",
    ),
    "any name in a vendor's catalog": Break(
        "V",
        instead("refcat.hygiene", "check_name", nothing),
        f"{MALFORMED}test_edited_documents_are_refused",
    ),
    "a file that changes while it is read": Break(
        "R",
        instead("scan.steady", "_is_unchanged", always(True)),
        f"{STEADY}test_a_change_while_reading_means_reading_again",
    ),
    "another file that took the name": Break(
        "R",
        instead("scan.steady", "_is_same", always(True)),
        f"{STEADY}test_another_file_of_the_same_name_is_not_read",
    ),
    "a change within the tick of the clock": Break(
        "R",
        nothing_is_racy,
        "tests/scan/test_compare.py::test_racy_means_within_a_tick_of_now_or_later",
    ),
    "rows of the index are believed": Break(
        "2.8",
        instead("index.rowsum", "is_sound", always(True)),
        "tests/index/test_rowsum.py::test_a_row_that_reads_otherwise_is_damage",
    ),
    "a content's twin is taken for it": Break(
        "2.10",
        instead("blobs.blob_store", "PackStore.check_no_collision", nothing),
        "tests/blobs/test_blob_store.py::test_the_second_of_two_colliding_contents_is_refused",
    ),
    "contents are not compared with their digests": Break(
        "2.10",
        contents_not_compared,
        "tests/blobs/test_blob_store.py::test_a_wrong_place_gives_no_bytes",
    ),
    "any signature": Break(
        "2.10",
        instead(
            "refcat.signature",
            "_verified",
            lambda data, signature, keys: (keys[0], keys[0].fingerprint),
        ),
        "tests/refcat/test_signatures.py::test_a_signature_is_over_these_very_bytes",
    ),
    "any host in a request": Break(
        "2.11",
        instead("epmstored.api.gate", "_check_host", nothing),
        f"{GATE}test_hosts_that_are_not_ours",
    ),
    "requests of web pages": Break(
        "2.11",
        instead("epmstored.api.gate", "_check_no_browser", nothing),
        f"{GATE}test_requests_of_web_pages_are_refused",
    ),
    "bodies whose length is not clear": Break(
        "2.11",
        instead("epmstored.api.gate", "_check_body", nothing),
        f"{GATE}test_bodies_that_are_not_clear",
    ),
    "contents that are not there": Break(
        "J2",
        instead("checkout.preflight", "_check_contents", nothing),
        f"{PREFLIGHT}test_a_content_that_is_not_stored",
    ),
    "files that may not be changed": Break(
        "J2",
        instead("checkout.preflight", "_is_protected", always(False)),
        f"{PREFLIGHT}test_a_file_that_may_not_be_changed",
    ),
    "what somebody wrote meanwhile is lost": Break(
        "J9",
        instead("checkout.switch", "_is_seen", always(True)),
        "tests/checkout/test_meanwhile.py::test_a_write_to_a_file_that_is_replaced_is_saved",
    ),
    "more than the disk has room for": Break(
        "J4",
        instead("checkout.preflight", "_check_space", nothing),
        f"{PREFLIGHT}test_space_is_counted",
    ),
    "network file systems are taken for local ones": Break(
        "D10",
        instead("checkout.preflight", "_check_filesystem", nothing),
        f"{PREFLIGHT}test_a_root_that_others_may_write_to",
    ),
    "a store on any file system": Break(
        "D10",
        instead("workspace.opening", "_check_local", nothing),
        "tests/cli/test_setup.py::test_init_refuses_a_network_file_system",
    ),
    "a staging folder goes while somebody writes into it": Break(
        "L",
        instead("checkout.stage", "wait_for_writers", nothing),
        "tests/checkout/test_files.py::test_a_staging_folder_goes_when_its_writers_are_gone",
    ),
    "an index that is not all in its file": Break(
        "2.8",
        instead("sqlite", "check_folded", nothing),
        "tests/faults/test_points.py::test_an_index_that_could_not_be_folded_is_not_put_in_place",
    ),
    "an index of an earlier release is taken as it is": Break(
        "2.8",
        instead("sqlite", "check", nothing),
        "tests/index/test_rowsum.py::test_an_index_of_an_earlier_release_is_not_used",
    ),
    "a format of the future": Break(
        "T20",
        any_format,
        "tests/faults/test_formats.py::test_a_format_of_the_future_is_refused",
    ),
}
