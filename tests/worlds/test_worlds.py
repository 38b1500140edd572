"""Some worlds of a campaign, with every rule; and the rules notice what they are there for."""

from collections.abc import Iterator

import pytest

from tests.kit.program import SEED, amount
from tests.worlds import campaign
from tests.worlds.acts import as_script
from tests.worlds.known import is_known

WORLDS = amount("EPM_TEST_WORLDS", 4)
"""In each part; there are so many parts, which run beside each other."""
PARTS = 8


@pytest.fixture
def as_a_host() -> Iterator[None]:
    with campaign.set_up():
        yield


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_no_rule_is_broken(as_a_host: None, part: int) -> None:
    first = SEED * 1_000_000 + part * WORLDS
    for seed in range(first, first + WORLDS):
        lived = campaign.live(seed)
        if lived.broken and not is_known(lived.broken[0]):
            acts = campaign.shorter(lived.setting, lived.acts, campaign.kind_of(lived.broken[0]))
            told = "\n".join(f"rule {one.rule}: {one.what}" for one in lived.broken[:3])
            pytest.fail(f"world {seed}\n{told}\n{as_script(lived.setting, acts)}")


def test_a_seed_is_one_world(as_a_host: None) -> None:
    one, two = campaign.live(17), campaign.live(17)
    assert (one.setting, one.acts) == (two.setting, two.acts)
