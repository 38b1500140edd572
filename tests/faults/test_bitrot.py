"""A damaged store gives out what is right, or nothing, and says so; EPM_TEST_ROT sets how much is
tried (1: each bit of each byte).
"""

import itertools
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from epmstore import seal
from epmstore.store import reserve
from epmstore.workspace import Workspace
from tests.faults.bitrot import BLOCK, Damage, Patient, attempt
from tests.kit.program import SEED, amount

EVERY = amount("EPM_TEST_ROT", 60)


@pytest.fixture
def patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Patient:
    monkeypatch.setattr(reserve, "SIZE", 1 << 16)
    return Patient(tmp_path, SEED)


def wrong(patient: Patient, level: str, every: int) -> tuple[list[str], Counter[str]]:
    """What went wrong, and how many of each kind were tried."""
    workspace = Workspace.open(patient.store) if level == "read" else None
    found, kinds = [], Counter[str]()
    for damage in patient.damages(level, every):
        line = attempt(patient, workspace, damage)
        kinds[damage.kind] += 1
        if line["verdict"] not in ("ok", "nothing changed"):
            found.append(json.dumps(line))
    return found, kinds


@pytest.mark.slow
@pytest.mark.timeout(120 + 60_000 // EVERY)
def test_whoever_reads_finds_it(patient: Patient) -> None:
    found, kinds = wrong(patient, "read", EVERY)
    assert found == []
    assert kinds.total() > 40_000 // EVERY and kinds["flip"] > 20_000 // EVERY


@pytest.mark.slow
@pytest.mark.timeout(120 + 60_000 // EVERY)
def test_a_check_finds_it_and_a_repair_mends_it(patient: Patient) -> None:
    found, kinds = wrong(patient, "whole", 6 * EVERY)
    assert found == []
    assert kinds.total() > 5_000 // (6 * EVERY)


@pytest.mark.slow
@pytest.mark.timeout(120 + 60_000 // EVERY)
def test_damage_named_by_fsck_is_mended_from_a_copy(patient: Patient) -> None:
    found, kinds = wrong(patient, "copy", 6 * EVERY)
    assert found == []
    assert kinds.total() > 3_000 // (6 * EVERY)


@pytest.mark.slow
def test_each_file_that_is_gone_is_named(patient: Patient) -> None:
    for level in ("whole", "copy"):
        for name in patient.names:
            line = attempt(patient, None, Damage(level, name, "delete", 0))
            assert line["verdict"] == "ok", line


@pytest.mark.slow
def test_frames_that_changed_places_are_found(patient: Patient) -> None:
    line = attempt(patient, None, Damage("whole", "packs/log/0", "swap", 0, 1536))
    assert line["verdict"] == "ok", line


@pytest.mark.slow
def test_pages_of_the_index_that_changed_places_are_found(patient: Patient) -> None:
    """Rows of other tables, with values of types that nothing wrote there."""
    pages = len(patient.files["index.sqlite"]) // BLOCK
    pairs = list(itertools.combinations(range(pages), 2))
    for one, two in random.Random(SEED).sample(pairs, max(20, len(pairs) // EVERY)):
        damage = Damage("whole", "index.sqlite", "swap", one * BLOCK, two * BLOCK)
        line = attempt(patient, None, damage)
        assert line["verdict"] in ("ok", "nothing changed"), line


@pytest.mark.slow
def test_sums_left_out_are_noticed(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the tests above prove nothing."""
    monkeypatch.setattr(seal, "check", lambda found, body: None)
    found, _ = wrong(patient, "read", 100)
    assert found != []
    assert any("not found" in line for line in found)


def test_each_file_of_a_store_is_damaged(patient: Patient) -> None:
    names = Counter(damage.file for damage in patient.damages("whole", 1))
    kept = {*patient.files} - {*names}
    may_be_lost = {"care.json", "clock.json", "newest.json"}
    assert {name.split("/")[0] for name in kept} <= {"locks", "reserve", *may_be_lost}
    assert random.Random(SEED).choice([*names]) in patient.files
