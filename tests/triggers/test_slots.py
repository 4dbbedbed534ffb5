"""Who is woken, and when: one for each free slot, first come first served."""

from __future__ import annotations

import pytest

from airflow_provider_kling.emulator import ManualClock
from airflow_provider_kling.triggers import slots
from airflow_provider_kling.triggers.slots import BLIND_SECONDS, TAKE_SECONDS, Queued, SlotQueue


@pytest.fixture(autouse=True)
def _moved_by_hand(monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> None:
    monkeypatch.setattr(slots.time, "time", clock.time)


def woken(*queued: Queued) -> list[bool]:
    return [one.woken.is_set() for one in queued]


def test_nobody_is_woken_while_all_slots_are_taken() -> None:
    queue = SlotQueue()
    one = queue.join(since=1)
    queue.look(5)
    queue.look(5)
    assert woken(one) == [False]
    assert len(queue) == 1


def test_one_free_slot_wakes_the_one_that_waits_longest() -> None:
    queue = SlotQueue()
    late, early = queue.join(since=2), queue.join(since=1)
    queue.look(5)
    queue.look(4)
    assert woken(early, late) == [True, False]


def test_the_slot_of_one_on_its_way_is_not_given_away_again() -> None:
    queue = SlotQueue()
    first, second = queue.join(since=1), queue.join(since=2)
    queue.look(5)
    queue.look(4)
    queue.look(4)
    assert woken(first, second) == [True, False]
    queue.taken()
    queue.look(5)
    queue.look(4)
    assert woken(second) == [True]


def test_one_that_never_comes_back_frees_its_slot_after_a_while(clock: ManualClock) -> None:
    queue = SlotQueue()
    first, second = queue.join(since=1), queue.join(since=2)
    queue.look(5)
    queue.look(4)
    clock.advance(TAKE_SECONDS + 1)
    queue.look(4)
    assert woken(first, second) == [True, True]


def test_one_that_was_woken_in_vain_is_first_again() -> None:
    queue = SlotQueue()
    first, second = queue.join(since=1), queue.join(since=2)
    queue.look(5)
    queue.look(4)
    again = queue.join(since=first.since)
    queue.look(5)
    queue.look(4)
    assert woken(again, second) == [True, False]


def test_as_many_are_woken_as_the_owner_says_there_are_slots() -> None:
    queue = SlotQueue(quota=3)
    three = [queue.join(since=n) for n in range(3)]
    queue.look(1)
    assert woken(*three) == [True, True, False]


def test_without_a_list_each_end_that_is_seen_wakes_one() -> None:
    queue = SlotQueue()
    first, second = queue.join(since=1), queue.join(since=2)
    queue.look(None)
    assert woken(first, second) == [False, False]
    queue.freed()
    queue.look(None)
    assert woken(first, second) == [True, False]


def test_slots_that_other_programs_free_are_tried_now_and_then(clock: ManualClock) -> None:
    queue = SlotQueue()
    first, second = queue.join(since=1), queue.join(since=2)
    queue.look(None)
    clock.advance(BLIND_SECONDS)
    queue.look(None)
    queue.look(None)
    assert woken(first, second) == [True, False]


def test_who_leaves_is_not_woken() -> None:
    queue = SlotQueue(quota=1)
    first, second = queue.join(since=1), queue.join(since=2)
    queue.leave(first)
    queue.leave(first)
    queue.look(0)
    assert woken(first, second) == [False, True]
    assert queue.next_look is None
