"""When what changed is looked at."""

from epmstored.debounce import MANY, Batch, Debounce


def make() -> Debounce:
    return Debounce(settle=2.0, longest=60.0)


def test_nothing_is_never_due() -> None:
    debounce = make()
    assert debounce.due() is None
    assert debounce.take(1e9) is None
    assert debounce.lag(1e9) == 0
    assert not debounce


def test_a_folder_is_due_when_it_was_quiet() -> None:
    debounce = make()
    debounce.add(["a"], first=10.0, last=10.0)
    debounce.add(["b"], first=11.0, last=11.5)
    assert debounce.due() == 13.5
    assert debounce.take(13.4) is None
    assert debounce.lag(13.5) == 3.5
    assert debounce.take(13.5) == Batch(frozenset({"a", "b"}), None, 10.0)
    assert not debounce


def test_steady_writing_does_not_put_it_off_for_ever() -> None:
    debounce = make()
    for second in range(100):
        debounce.add(["a"], first=float(second), last=float(second))
    assert debounce.due() == 60.0


def test_files_that_are_open_are_named_until_they_are_closed() -> None:
    debounce = make()
    debounce.add(["a"], first=0.0, last=1.0, writing=["a/x", "a/y"])
    debounce.add(["a"], first=1.0, last=1.0, closed=["a/y"])
    batch = debounce.take(3.0)
    assert batch is not None and batch.writing == {"a/x"}
    debounce.give_back(batch, not_before=5.0)
    debounce.add(["a"], first=4.0, last=4.0, closed=["a/x"])
    again = debounce.take(6.0)
    assert again == Batch(frozenset({"a"}), None, 0.0)


def test_debounce_names_open_files_once() -> None:
    debounce = make()
    debounce.add(["a"], first=0.0, last=0.0, writing=["a/log"], unsure=True)
    first = debounce.take_all()
    assert first is not None and first.unsure
    debounce.add(["b"], first=5.0, last=5.0)
    second = debounce.take_all()
    assert second is not None and not second.writing and not second.unsure


def test_everything_takes_the_place_of_folders() -> None:
    debounce = make()
    debounce.add(["a"], first=0.0, last=0.0)
    debounce.add_whole("after-overflow", now=1.0)
    debounce.add_whole("scan", now=1.5)
    assert debounce.queue == 1
    assert debounce.has("anything")
    batch = debounce.take(3.5)
    assert batch == Batch(frozenset(), "after-overflow", 0.0, unsure=True)
    assert batch.reason == "after-overflow"


def test_after_an_overflow_nobody_knows_what_is_open() -> None:
    debounce = make()
    debounce.add(["a"], first=0.0, last=0.0, writing=["a/x"])
    debounce.add_whole("after-overflow", now=1.0)
    batch = debounce.take_all()
    assert batch is not None and batch.unsure and not batch.writing


def test_very_many_folders_are_everything() -> None:
    debounce = make()
    debounce.add([str(n) for n in range(MANY + 1)], first=0.0, last=0.0)
    batch = debounce.take_all()
    assert batch == Batch(frozenset(), "event", 0.0, unsure=True)


def test_returned_batches_keep_their_age_and_wait() -> None:
    debounce = make()
    debounce.add(["a"], first=10.0, last=10.0)
    batch = debounce.take(12.0)
    assert batch is not None
    debounce.give_back(batch, not_before=20.0)
    assert debounce.due() == 20.0
    assert debounce.lag(20.0) == 10.0
    debounce.add(["b"], first=19.0, last=19.0)
    assert debounce.due() == 21.0
    assert debounce.take(21.0) == Batch(frozenset({"a", "b"}), None, 10.0)


def test_everything_given_back_takes_newer_folders_in() -> None:
    debounce = make()
    debounce.add(["b"], first=19.0, last=19.0)
    debounce.give_back(Batch(frozenset(), "startup-scan", 10.0), not_before=0.0)
    assert debounce.take(21.0) == Batch(frozenset(), "startup-scan", 10.0, unsure=True)
