"""Who is woken, and when: one for each free slot, first come first served."""

from __future__ import annotations

import pytest

from airflow_provider_kling.emulator import ManualClock
from airflow_provider_kling.triggers import slots
from airflow_provider_kling.triggers.slots import PROBE_SECONDS, TAKE_SECONDS, Queued, SlotQueue

MODEL = "kling-v2-6"


@pytest.fixture(autouse=True)
def _moved_by_hand(monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> None:
    monkeypatch.setattr(slots.time, "monotonic", clock.time)


def join(queue: SlotQueue, since: float, model_name: str = MODEL, **more: float) -> Queued:
    one = Queued(since, model_name, conn_id="kling_default", **more)
    queue.join(one)
    return one


def woken(*queued: Queued) -> list[bool]:
    return [one.woken.is_set() for one in queued]


def test_nobody_is_woken_while_all_slots_are_taken() -> None:
    queue = SlotQueue()
    one = join(queue, 1)
    queue.look(5)
    queue.look(5)
    assert woken(one) == [False]
    assert len(queue) == 1


def test_one_free_slot_wakes_the_one_that_waits_longest() -> None:
    queue = SlotQueue()
    late, early = join(queue, 2), join(queue, 1)
    queue.look(5)
    queue.look(4)
    assert woken(early, late) == [True, False]


def test_the_slot_of_one_on_its_way_is_not_given_away_again() -> None:
    queue = SlotQueue()
    first, second = join(queue, 1), join(queue, 2)
    queue.look(5)
    queue.look(4)
    queue.look(4)
    assert woken(first, second) == [True, False]
    queue.taken(MODEL)
    queue.look(5)
    queue.look(4)
    assert woken(second) == [True]


def test_a_task_that_something_else_submitted_takes_nobodys_slot() -> None:
    queue = SlotQueue()
    first, second = join(queue, 1), join(queue, 2)
    queue.look(5)
    queue.look(4)
    queue.taken("")
    queue.look(4)
    assert woken(first, second) == [True, False]


def test_one_that_never_comes_back_frees_its_slot_after_a_while(clock: ManualClock) -> None:
    queue = SlotQueue()
    first, second = join(queue, 1), join(queue, 2)
    queue.look(5)
    queue.look(4)
    clock.advance(TAKE_SECONDS + 1)
    queue.look(4)
    assert woken(first, second) == [True, True]


def test_one_that_is_woken_and_cancelled_leaves_its_slot_to_the_next() -> None:
    queue = SlotQueue()
    first, second = join(queue, 1), join(queue, 2)
    queue.look(5)
    queue.look(4)
    queue.leave(first)
    queue.look(4)
    assert woken(first, second) == [True, True]


def test_one_that_was_woken_in_vain_is_first_again() -> None:
    queue = SlotQueue()
    first, second = join(queue, 1), join(queue, 2)
    queue.look(5)
    queue.look(4)
    again = join(queue, first.since)
    queue.look(5)
    queue.look(4)
    assert woken(again, second) == [True, False]


def test_as_many_are_woken_as_the_owner_says_there_are_slots() -> None:
    queue = SlotQueue(quota=3)
    three = [join(queue, n) for n in range(3)]
    queue.look(1)
    assert woken(*three) == [True, True, False]


def test_an_owner_who_says_too_many_is_believed_only_until_one_is_refused() -> None:
    queue = SlotQueue(quota=10)
    waiting = [join(queue, n) for n in range(8)]
    queue.look(5)
    assert woken(*waiting) == [True] * 5 + [False] * 3
    waiting[:5] = [join(queue, n) for n in range(5)]
    for _ in range(10):
        queue.look(5)
    assert not any(woken(*waiting))
    queue.look(4)
    assert woken(*waiting) == [True] + [False] * 7


def test_without_a_list_each_end_that_is_seen_wakes_one() -> None:
    queue = SlotQueue()
    first, second = join(queue, 1), join(queue, 2)
    queue.look(None)
    assert woken(first, second) == [False, False]
    queue.freed(MODEL)
    queue.look(None)
    assert woken(first, second) == [True, False]


def test_tasks_that_ended_before_anybody_waited_wake_nobody() -> None:
    queue = SlotQueue()
    queue.leave(join(queue, 1))
    for _ in range(60):
        queue.freed(MODEL)
    waiting = [join(queue, n) for n in range(50)]
    queue.look(None)
    assert not any(woken(*waiting))


def test_slots_that_other_programs_free_are_tried_now_and_then(clock: ManualClock) -> None:
    queue = SlotQueue()
    first, second = join(queue, 1), join(queue, 2)
    queue.look(None)
    clock.advance(PROBE_SECONDS)
    queue.look(None)
    queue.look(None)
    assert woken(first, second) == [True, False]


def test_a_number_that_was_learned_too_low_is_mended_though_slots_come_and_go(clock: ManualClock) -> None:
    queue, running, taken = SlotQueue(), 2, 0
    for n in range(100):
        join(queue, n)
    # Ten slots, of which two were taken when this began. Every ten seconds a video is done.
    for second in range(300):
        clock.advance(1)
        before = len(queue)
        running -= running > 0 and second % 10 == 0
        queue.look(running)
        for _ in range(before - len(queue)):
            taken += 1
            if running < 10:
                running += 1
                queue.taken(MODEL)
            else:
                join(queue, -taken)
    assert running >= 9


def test_a_probe_that_is_refused_while_a_task_ends_does_not_cost_a_slot(clock: ManualClock) -> None:
    queue = SlotQueue()
    first, second = join(queue, 1), join(queue, 2)
    queue.look(5)
    clock.advance(PROBE_SECONDS)
    queue.look(5)
    assert woken(first, second) == [True, False]
    # Refused; and before the next look one of the five has ended.
    again = join(queue, 1)
    queue.look(4)
    assert woken(again, second) == [True, False]


def test_who_waits_for_a_full_model_does_not_stand_in_the_way_of_another() -> None:
    queue = SlotQueue()
    full, other = join(queue, 1, "kling-v3"), join(queue, 2)
    queue.look(7)
    queue.look(6)
    assert woken(full, other) == [True, True]
    # The first one was refused again: it is behind nobody, and nobody is behind it.
    full = join(queue, 1, "kling-v3")
    queue.taken(MODEL)
    other = join(queue, 3)
    queue.look(6)
    queue.look(5)
    assert woken(full, other) == [True, True]


def test_a_task_that_ends_frees_a_slot_of_its_own_model() -> None:
    queue = SlotQueue()
    first, second = join(queue, 1, "kling-v3"), join(queue, 2)
    queue.freed(MODEL)
    queue.look(None)
    assert woken(first, second) == [False, True]
    queue.freed("")
    queue.look(None)
    assert woken(first) == [True]


def test_the_owners_number_of_slots_is_for_all_models_together() -> None:
    queue = SlotQueue(quota=3)
    two = [join(queue, n, f"kling-v{n}") for n in (1, 2)]
    queue.look(2)
    assert woken(*two) == [True, False]


def test_nobody_is_woken_before_airflow_has_settled_its_deferral(clock: ManualClock) -> None:
    queue = SlotQueue(quota=1)
    fresh = join(queue, 1, ready_at=clock.time() + 5)
    queue.look(0)
    assert woken(fresh) == [False]
    clock.advance(5)
    queue.look(0)
    assert woken(fresh) == [True]


def test_who_leaves_is_not_woken() -> None:
    queue = SlotQueue(quota=1)
    first, second = join(queue, 1), join(queue, 2)
    queue.leave(first)
    queue.leave(first)
    queue.look(0)
    assert woken(first, second) == [False, True]
    assert queue.next_look is None


def test_those_of_one_connection_can_be_woken_at_once() -> None:
    queue = SlotQueue()
    one = join(queue, 1)
    other = Queued(2, MODEL, conn_id="kling_other")
    queue.join(other)
    assert queue.connections == {"kling_default", "kling_other"}
    queue.wake_all("kling_other")
    assert woken(one, other) == [False, True]
