"""What is noted of the newest versions, and what a power cut may leave of it."""

from pathlib import Path

from epmstore.store import newest

CATALOGS = [f"{number:032x}" for number in range(3)]


def noted(store: Path, number: int) -> bytes:
    for catalog in CATALOGS:
        newest.note(store, catalog, number)
    return (store / newest.FILE).read_bytes()


def test_the_highest_number_is_noted(tmp_path: Path) -> None:
    noted(tmp_path, 7)
    newest.note(tmp_path, CATALOGS[0], 5)
    assert newest.read(tmp_path) == dict.fromkeys(CATALOGS, 7)
    newest.drop(tmp_path, CATALOGS[0])
    assert newest.read(tmp_path) == dict.fromkeys(CATALOGS[1:], 7)


def test_parts_of_two_notes_say_nothing(tmp_path: Path) -> None:
    """It is written in place: each byte may be that of either, and the end may lack."""
    old, new = noted(tmp_path, 99), noted(tmp_path, 100)
    allowed = [{}, dict.fromkeys(CATALOGS, 99), dict.fromkeys(CATALOGS, 100)]
    for at in range(len(new) + 1):
        for data in (new[:at] + old[at:], old[:at] + new[at:], new[:at]):
            (tmp_path / newest.FILE).write_bytes(data)
            assert newest.read(tmp_path) in allowed, data


def test_the_next_note_replaces_one_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / newest.FILE).write_bytes(b"no JSON, and longer than what is written next" * 9)
    assert newest.read(tmp_path) == {}
    newest.note(tmp_path, CATALOGS[0], 1)
    assert newest.read(tmp_path) == {CATALOGS[0]: 1}
