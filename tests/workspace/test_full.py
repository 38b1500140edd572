"""A store on a file system without a free byte can still be opened, to make room."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from epmstore.errors import DiskFullError
from epmstore.store.reserve import has_reserve, make_reserve
from tests.kit.mounts import tmpfs
from tests.kit.worn import WornHost

pytestmark = pytest.mark.root


@pytest.fixture
def host(tmp_path: Path) -> Iterator[WornHost]:
    """On a file system of its own, which is full, with a reserve that is all that could be had."""
    with tmpfs(tmp_path / "small", "size=64m") as place:
        made = WornHost(place)
        made.snapshot()
        make_reserve(made.path, 1 << 20)
        with (place / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError):
            while True:
                filler.write(bytes(1 << 16))
                filler.write(bytes(4096))
        yield made


def test_the_reserve_is_given_up_to_collect_and_not_to_read(host: WornHost) -> None:
    with host.open() as ws:
        assert ws.app("crm").status().clean
        assert has_reserve(host.path)
        ws.care.gc()


def test_without_a_reserve_it_is_read_and_the_hint_says_what_helps(host: WornHost) -> None:
    (host.path / "reserve").unlink()
    with (host.path.parent / "more").open("wb", buffering=0) as filler, pytest.raises(OSError):
        while True:
            filler.write(bytes(4096))
    with host.open() as ws:
        assert ws.app("crm").status().clean
    host.write("bin/f0", host.text(99))
    with pytest.raises(DiskFullError) as caught:
        host.snapshot()
    assert str(host.path) in caught.value.message
    (host.path.parent / "filler").unlink()
    assert host.snapshot() == 1
