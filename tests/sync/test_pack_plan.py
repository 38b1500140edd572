"""What goes into which pack: held against a plain reading of what came out."""

from hypothesis import given, settings
from hypothesis import strategies as st

from epmstore.sync.pack_plan import FULL, ROWS, SMALL, Load, kept_packs

loads = st.builds(Load, st.integers(1, 100 << 20), st.integers(1, 2 * ROWS))


@given(st.lists(loads), loads)
@settings(max_examples=200)
def test_packs_that_stay_are_large_or_full_or_twice_what_follows(
    there: list[Load], added: Load
) -> None:
    count = kept_packs(there, added)
    size = added.size + sum(one.size for one in there[count:])
    weight = added.weight + sum(one.weight for one in there[count:])
    if count < len(there):
        assert size <= FULL and weight <= ROWS
    if count:
        last = there[count - 1]
        is_full = size + last.size > FULL or weight + last.weight > ROWS
        assert last.size >= min(SMALL, 2 * size) or is_full


def test_many_small_pushes_leave_few_packs() -> None:
    packs: list[Load] = []
    sent = 0
    for _ in range(1000):
        count = kept_packs(packs, Load(10_000, 2))
        size = 10_000 + sum(pack.size for pack in packs[count:])
        packs = [*packs[:count], Load(size, size // 5000)]
        sent += size
    assert len(packs) <= 12
    assert sum(pack.size for pack in packs) == 10_000_000 and sent <= 120_000_000


def test_a_pack_that_can_hold_no_more_stays() -> None:
    assert kept_packs([Load(4 << 20, ROWS)], Load(4 << 20, ROWS)) == 1
