"""The newest item wins, and every loss is counted."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from liveglass.engine.stream.mailbox import Mailbox

TAKE = None


@given(st.lists(st.one_of(st.integers(), st.just(TAKE))))
def test_the_newest_item_wins_and_every_loss_is_counted(actions: list[int | None]) -> None:
    mailbox, waiting, lost = Mailbox[int](), list[int](), 0
    for action in actions:
        if action is TAKE:
            assert mailbox.take() == (waiting.pop() if waiting else None)
        else:
            assert mailbox.put(action) == bool(waiting)
            lost += bool(waiting)
            waiting = [action]
    assert mailbox.replaced == lost


def test_with_two_threads_every_item_is_taken_or_counted_and_the_last_one_arrives() -> None:
    mailbox, taken, count, over = Mailbox[int](), list[int](), 5000, threading.Event()

    def consume() -> None:
        while not over.is_set():
            item = mailbox.take()
            if item is not None:
                taken.append(item)

    consumer = threading.Thread(target=consume)
    consumer.start()
    for number in range(count):
        mailbox.put(number)
    over.set()
    consumer.join()
    rest = mailbox.take()
    seen = taken if rest is None else [*taken, rest]
    assert seen == sorted(seen)
    assert seen[-1] == count - 1
    assert len(seen) + mailbox.replaced == count
