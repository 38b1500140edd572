from pathlib import Path

import pytest

from epmstore.errors import ConflictError, DamagedError, EpmError, NotFoundError
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
