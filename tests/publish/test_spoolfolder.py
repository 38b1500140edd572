import os
from pathlib import Path

import pytest

from epmstore.errors import ConflictError, DamagedError, EpmError, ForeignError, NotFoundError
from epmstore.publish.spoolfolder import SpoolSettings, can_lock, make_spool, open_spool

SETTINGS = SpoolSettings("/depot")


def test_a_spool_is_made_once(tmp_path: Path) -> None:
    made = make_spool(tmp_path / "spool", SETTINGS)
    assert open_spool(tmp_path / "spool") == made == make_spool(tmp_path / "spool", SETTINGS)
    with pytest.raises(ConflictError):
        make_spool(tmp_path / "spool", SpoolSettings("/elsewhere"))


def test_a_file_system_that_cannot_lock_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EpmError, match="cannot lock"):
        make_spool(tmp_path / "spool", SETTINGS, lambda _: False)
    with pytest.raises(NotFoundError):
        open_spool(tmp_path / "spool")


def test_locks_that_do_not_keep_others_out_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "probe").touch()
    assert can_lock(tmp_path / "probe")
    monkeypatch.setattr("fcntl.flock", lambda fd, how: None)  # as a mount that only pretends
    assert not can_lock(tmp_path / "probe")


def test_settings_that_are_none_are_damage(tmp_path: Path) -> None:
    make_spool(tmp_path, SETTINGS)
    (tmp_path / "pipeline.json").write_text('{"remote": 7}')
    with pytest.raises(DamagedError):
        open_spool(tmp_path)


@pytest.mark.parametrize(
    "name", [".", "temp", "upload", "locks", "pipeline.json", "upload/crm.epkg"]
)
def test_a_spool_that_others_may_write_is_refused_with_a_remedy(tmp_path: Path, name: str) -> None:
    make_spool(tmp_path / "spool", SETTINGS)
    (tmp_path / "spool" / "upload" / "crm.epkg").touch(0o644)
    open_spool(tmp_path / "spool")
    path = tmp_path / "spool" / name
    path.chmod(path.stat().st_mode | 0o002)
    for opened in (open_spool, lambda place: make_spool(place, SETTINGS)):
        with pytest.raises(ForeignError, match="not believed: others may write") as caught:
            opened(tmp_path / "spool")
        assert caught.value.hint == f"`chmod go-w {path}`"


def test_a_spool_is_not_made_where_others_may_change_the_way(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(ForeignError):
        make_spool(tmp_path / "open" / "spool", SETTINGS)
    assert list((tmp_path / "open").iterdir()) == []


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="chown needs root")
def test_a_spool_of_another_user_is_refused(tmp_path: Path) -> None:
    make_spool(tmp_path / "spool", SETTINGS)
    os.chown(tmp_path / "spool" / "pipeline.json", 65534, 65534)
    with pytest.raises(ForeignError, match="belongs to") as caught:
        open_spool(tmp_path / "spool")
    assert "chown" in (caught.value.hint or "")
