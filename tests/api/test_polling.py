"""When to look again: jitter, backoff, deadline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kling.api.polling import HOPELESS_LOOKS, MAX_ASKED, MAX_BACKOFF, WaitPlan, backoff
from airflow_provider_kling.exceptions import KlingAuthenticationError, KlingRateLimitError, KlingServerError

TROUBLE = KlingServerError("x")
HOPELESS = KlingAuthenticationError("x")


@given(st.integers(1, 10**9), st.none() | st.floats(0, 1e300))
def test_a_pause_is_bounded_whatever_is_asked_for(attempt: int, asked: float | None) -> None:
    assert 0.9 <= backoff(attempt) <= MAX_BACKOFF
    assert 0.9 <= backoff(attempt, asked) <= MAX_ASKED


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (5000, 60)])
def test_pauses_double_up_to_a_minute(attempt: int, seconds: float) -> None:
    assert seconds * 0.9 <= backoff(attempt) <= seconds


def test_what_the_service_asks_for_counts_where_it_is_longer() -> None:
    assert backoff(1, 30) == 30
    assert backoff(7, 3) > 50
    assert backoff(1, 300) == 300
    assert backoff(1, 1e6) == MAX_ASKED


def test_a_wait_gives_the_service_the_quiet_it_asks_for() -> None:
    plan = WaitPlan(1.0, 1e6)
    plan.failed(KlingRateLimitError("slow down", retry_after=120))
    assert plan.next_pause(0) == 120
    plan.looked()
    assert (plan.next_pause(0) or 0) <= 1


def test_pauses_of_many_waits_do_not_fall_in_step() -> None:
    pauses = {WaitPlan(10, 1000).next_pause(0) for _ in range(50)}
    assert len(pauses) > 40
    assert all(pause is not None and 9 <= pause <= 10 for pause in pauses)


@given(st.floats(0.1, 600), st.floats(0, 1e5), st.floats(0, 1e5), st.integers(0, 5000))
def test_no_pause_reaches_beyond_the_deadline(
    interval: float, deadline: float, now: float, failures: int
) -> None:
    plan = WaitPlan(interval, deadline, failures=failures)
    pause = plan.next_pause(now)
    if now >= deadline:
        assert pause is None
    else:
        assert pause is not None
        assert 0 < pause <= deadline - now


def test_looks_that_fail_are_spaced_out_and_one_that_works_resets_it() -> None:
    plan = WaitPlan(1.0, 1e6)
    for _ in range(8):
        assert plan.failed(TROUBLE)
    assert (plan.next_pause(0) or 0) > 50
    plan.looked()
    assert (plan.next_pause(0) or 0) <= 1


def test_trouble_is_put_up_with_for_ever_and_hopelessness_is_not() -> None:
    plan = WaitPlan(1.0, 1e6)
    assert all(plan.failed(TROUBLE) for _ in range(2000))
    assert plan.next_pause(0) is not None
    assert [plan.failed(HOPELESS) for _ in range(HOPELESS_LOOKS)] == [True, True, False]


def test_only_hopeless_looks_in_a_row_count() -> None:
    plan = WaitPlan(1.0, 1e6)
    answers = [plan.failed(error) for error in (HOPELESS, HOPELESS, TROUBLE, HOPELESS, HOPELESS)]
    plan.looked()
    assert all([*answers, plan.failed(HOPELESS), plan.failed(HOPELESS)])
