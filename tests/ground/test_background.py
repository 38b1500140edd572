"""Work in a thread beside a block: done when the block is left, whatever happens in either."""

import _thread
import threading
import time

import pytest

from epmstore.background import in_background


def test_both_go_on_at_once() -> None:
    begun, allowed = threading.Event(), threading.Event()
    done: list[bool] = []

    def work() -> None:
        begun.set()
        done.append(allowed.wait(10))

    with in_background(work):
        assert begun.wait(10)
        assert not done
        allowed.set()
    assert done == [True]


def test_an_error_of_the_work_comes_out() -> None:
    def work() -> None:
        raise OSError(28, "no space")

    passed = []
    with pytest.raises(OSError, match="no space"), in_background(work):
        passed.append(1)
    assert passed == [1]


def test_an_error_of_the_block_waits_for_the_work() -> None:
    done: list[int] = []

    def work() -> None:
        time.sleep(0.2)
        done.append(1)
        raise OSError("of the work")

    with pytest.raises(ValueError, match="of the block"), in_background(work):
        raise ValueError("of the block")
    assert done == [1]


def test_an_interrupt_waits_for_the_work() -> None:
    """Who leaves the block takes away what the work is done on."""
    done: list[int] = []
    waiting = threading.Event()

    def work() -> None:
        waiting.wait(10)
        _thread.interrupt_main()
        time.sleep(0.3)
        done.append(1)

    with pytest.raises(KeyboardInterrupt), in_background(work):
        waiting.set()
    assert done == [1]
