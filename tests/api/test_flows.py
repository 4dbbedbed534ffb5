"""Reads: repeated until they are answered, because they buy nothing; and the patience of a wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_kling.api import flows
from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.api.flows import READ_ATTEMPTS, Flow, NoAnswer
from airflow_provider_kling.api.polling import WaitPlan
from airflow_provider_kling.api.tasks import GenerationTask, TaskStatus
from airflow_provider_kling.emulator import Emulator, ManualClock
from airflow_provider_kling.exceptions import (
    KlingAPIError,
    KlingAuthenticationError,
    KlingConnectionError,
    KlingInputError,
    KlingRateLimitError,
    KlingResponseError,
    KlingServerError,
    KlingTaskNotFoundError,
    KlingTaskTimeoutError,
)
from tests.flow_driver import LOST, NEVER_SENT, Run, answer, drive, not_found, ok, refused, task_json

Runner = Callable[[Flow[Any]], Any]
KIND = TaskKind.TEXT2VIDEO
HTML = "<html>Bad gateway</html>"


def get(outcomes: list[Any], task_id: str = "7", **more: Any) -> Run:
    run = drive(flows.get_task(task_id, KIND, **more), outcomes)
    assert run.left == 0
    return run


TROUBLE = {
    "dropped": LOST,
    "refused": NEVER_SENT,
    "no outcome": None,
    "1302": refused(1302, "slow down", 429),
    "1303": refused(1303, "no slot", 429),
    "5000": refused(5000, "?", 500),
    "5001": refused(5001, "?", 503),
    "5002": refused(5002, "?", 504),
    "a proxy's 502": answer(HTML, 502),
    "408": answer("", 408),
    "429 without a code": answer("slow down", 429),
}


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE.keys())
def test_a_read_is_repeated_through_trouble(trouble: Any) -> None:
    run = get([trouble] * (READ_ATTEMPTS - 1) + [ok()])
    assert run.value.task_id == "900000000000000001"
    assert [0.9 <= pause / 2**n <= 1 for n, pause in enumerate(run.slept)] == [True] * 3


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (LOST, KlingServerError),
        (None, KlingServerError),
        (NEVER_SENT, KlingConnectionError),
        (answer(HTML, 502), KlingServerError),
        (refused(1302, "slow down", 429), KlingRateLimitError),
    ],
)
def test_a_read_that_is_never_answered_is_given_up_without_a_last_pause(trouble: Any, error: type) -> None:
    run = get([trouble] * READ_ATTEMPTS)
    assert type(run.error) is error
    assert len(run.slept) == READ_ATTEMPTS - 1
    assert not run.error.hopeless


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (refused(1002, "bad key", 401), KlingAuthenticationError),
        (refused(1101, "arrears", 429), KlingAPIError),
        (not_found("7"), KlingTaskNotFoundError),
        (answer(HTML), KlingResponseError),
    ],
)
def test_what_waiting_does_not_cure_is_not_repeated(reply: Any, error: type[Exception]) -> None:
    run = get([reply])
    assert isinstance(run.error, error)
    assert run.slept == []


def test_a_read_waits_as_long_as_the_service_asks_and_holds_no_worker_for_longer_than_a_minute() -> None:
    slow = refused(1302, "slow down", 429, retry_after="25")
    for_ever = refused(1302, "slow down", 429, retry_after="86400")
    assert get([slow, ok()]).slept == [25.0]
    run = get([slow, for_ever])
    assert run.slept == [25.0]
    assert isinstance(run.error, KlingRateLimitError)
    assert run.error.retry_after == 86400


def test_the_words_of_the_network_are_kept_and_advice_is_given() -> None:
    assert "Kling could not be reached: x. This call bought nothing." in str(NoAnswer(False, "x").error())
    assert "Kling did not answer: x. This call bought nothing." in str(NoAnswer(True, "x").error())


@pytest.mark.parametrize("task_id", ["a/b", "a?b=c", "a b", "ä", "../x", "100%"])
def test_an_id_can_not_leave_its_place_in_the_path(task_id: str) -> None:
    (send,) = get([not_found()], task_id).sent
    assert send.path.startswith("/v1/videos/text2video/")
    assert not set("/? ") & set(send.path.removeprefix("/v1/videos/text2video/"))


def test_blanks_around_an_id_are_left_out() -> None:
    assert get([ok()], " 7\n").sent[0].path.endswith("/7")


@pytest.mark.parametrize("task_id", ["", "  ", None])
def test_an_empty_id_is_refused_before_anything_is_asked(task_id: Any) -> None:
    with pytest.raises(KlingInputError, match="task_id: it must not be empty"):
        get([], task_id)


def test_a_read_has_at_least_one_attempt() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        get([], attempts=0)


# Lists and the probe


def test_a_page_is_asked_for_by_number_and_size() -> None:
    run = drive(flows.list_tasks(KIND, 2, 50), [ok([task_json("1")])])
    (send,) = run.sent
    assert (send.method, send.path, send.params) == (
        "GET",
        "/v1/videos/text2video",
        {"pageNum": 2, "pageSize": 50},
    )
    assert [task.task_id for task in run.value] == ["1"]


@pytest.mark.parametrize(("page", "size"), [(0, 30), (1001, 30), (1, 0), (1, 501)])
def test_a_page_out_of_range_is_refused_before_anything_is_asked(page: int, size: int) -> None:
    with pytest.raises(KlingInputError, match="page must be 1 to 1000 and page_size 1 to 500"):
        drive(flows.list_tasks(KIND, page, size), [])


def test_lists_and_look_ups_by_both_ids_work_with_both_clients(emulator: Emulator, run: Runner) -> None:
    made = [emulator.add_task(f"Fox {n}", external_task_id=f"af-{n}") for n in range(3)]
    assert {task.task_id for task in run(flows.list_tasks(KIND))} == {task.task_id for task in made}
    assert len(run(flows.list_tasks(KIND, 2, 2))) == 1
    by_own = run(flows.get_task(made[1].task_id, KIND))
    assert by_own.external_task_id == "af-1"
    assert run(flows.get_task("af-1", KIND)).task_id == by_own.task_id
    with pytest.raises(KlingTaskNotFoundError):
        run(flows.get_task("af-1", TaskKind.EFFECTS))
    assert emulator.ledger()["accepted"] == 3


def test_no_such_task_is_the_probes_good_news_and_it_costs_nothing(emulator: Emulator, run: Runner) -> None:
    assert run(flows.probe()) is None
    assert emulator.ledger()["accepted"] == 0
    assert emulator.ledger()["requests_total"] == 1


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (refused(1002, "bad key", 401), KlingAuthenticationError),
        (NEVER_SENT, KlingConnectionError),
        (answer(HTML), KlingResponseError),
        (answer(HTML, 502), KlingServerError),
    ],
)
def test_a_probe_asks_once_and_tells_what_is_wrong(outcome: Any, error: type[Exception]) -> None:
    run = drive(flows.probe(), [outcome])
    assert isinstance(run.error, error)
    assert run.slept == []


def test_a_probe_that_finds_a_task_of_that_name_is_good_news_too() -> None:
    assert drive(flows.probe(), [ok()]).error is None


# Waiting


class Watch:
    """A clock that moves with the flow's pauses, and what was announced."""

    def __init__(self, deadline: float = 100.0, interval: float = 10.0) -> None:
        self.now = 0.0
        self.plan = WaitPlan(interval, deadline)
        self.seen: list[TaskStatus] = []
        self.trouble: list[KlingAPIError] = []

    def wait(self, answers: Callable[[float], Any], first_pause: float = 0.0) -> Run:
        """``answers`` is asked for the outcome of each look by its time."""
        run = Run()
        flow = flows.wait(
            "7",
            KIND,
            self.plan,
            clock=lambda: self.now,
            first_pause=first_pause,
            on_change=lambda task: self.seen.append(task.status),
            on_trouble=self.trouble.append,
        )
        outcome: Any = None
        try:
            while True:
                step = flow.send(outcome)
                if isinstance(step, flows.Sleep):
                    run.slept.append(step.seconds)
                    self.now += step.seconds
                    outcome = None
                else:
                    run.sent.append(step)
                    outcome = answers(self.now)
        except StopIteration as stop:
            run.value = stop.value
        except (KlingAPIError, KlingTaskTimeoutError) as e:
            run.error = e
        return run


def at(status: str) -> Any:
    return ok(task_json(status=status))


def test_each_status_is_announced_once() -> None:
    watch = Watch()
    run = watch.wait(lambda now: at("submitted" if now < 15 else "processing" if now < 45 else "succeed"))
    assert watch.seen == [TaskStatus.SUBMITTED, TaskStatus.PROCESSING, TaskStatus.SUCCEEDED]
    assert run.value.status is TaskStatus.SUCCEEDED
    assert len(run.sent) > 4


def test_a_failed_task_ends_the_wait_without_an_error_of_the_call() -> None:
    assert Watch().wait(lambda now: at("failed")).value.status is TaskStatus.FAILED


def test_the_first_look_comes_after_the_first_pause() -> None:
    run = Watch().wait(lambda now: at("succeed"), first_pause=5.0)
    assert run.slept == [5.0]


def test_the_last_look_falls_on_the_deadline() -> None:
    watch = Watch(deadline=95.0)
    run = watch.wait(lambda now: at("succeed" if now >= 95.0 else "processing"))
    assert run.value.status is TaskStatus.SUCCEEDED
    assert watch.now == 95.0


def test_a_wait_that_gives_up_says_that_the_video_goes_on() -> None:
    watch = Watch(deadline=30.0)
    run = watch.wait(lambda now: at("processing"))
    assert isinstance(run.error, KlingTaskTimeoutError)
    assert run.error.task_id == "7"
    assert "last seen 'processing'" in str(run.error)
    assert "still being made and will be billed. A retry of this task picks it up" in str(run.error)
    assert watch.now == 30.0


def test_a_deadline_in_the_past_still_allows_one_look() -> None:
    run = Watch(deadline=-5.0).wait(lambda now: at("succeed"))
    assert run.value.status is TaskStatus.SUCCEEDED
    assert len(run.sent) == 1


@pytest.mark.parametrize("trouble", [*TROUBLE.values(), answer(HTML)])
def test_trouble_is_waited_out_and_told_once(trouble: Any) -> None:
    watch = Watch(deadline=3600.0)
    run = watch.wait(lambda now: trouble if 20 < now < 900 else at("processing" if now < 1000 else "succeed"))
    assert run.value.status is TaskStatus.SUCCEEDED
    assert len(watch.trouble) == 1
    assert len(run.sent) < 250


def test_each_time_of_trouble_is_told() -> None:
    watch = Watch()
    watch.wait(lambda now: at("succeed") if now > 80 else LOST if int(now / 20) % 2 else at("processing"))
    assert len(watch.trouble) == 2


def test_trouble_that_lasts_ends_at_the_deadline_and_is_named() -> None:
    run = Watch(deadline=50.0).wait(lambda now: LOST)
    assert isinstance(run.error, KlingTaskTimeoutError)
    assert "it was not seen" in str(run.error)
    assert "The last look failed: Kling did not answer" in str(run.error)


@pytest.mark.parametrize("hopeless", [refused(1002, "bad key", 401), not_found("7"), refused(1101, "?", 429)])
def test_a_hopeless_error_ends_the_wait_after_three_looks_in_a_row(hopeless: Any) -> None:
    watch = Watch(deadline=3600.0)
    run = watch.wait(lambda now: hopeless)
    assert isinstance(run.error, KlingAPIError)
    assert len(run.sent) == 3
    assert len(watch.trouble) == 1


def test_a_hopeless_error_now_and_then_does_not_end_the_wait() -> None:
    looks = iter([not_found(), not_found(), LOST, not_found(), not_found(), at("processing"), not_found()])
    run = Watch(deadline=3600.0).wait(lambda now: next(looks, at("succeed")))
    assert run.value.status is TaskStatus.SUCCEEDED


def test_a_wait_buys_nothing_and_ends_with_both_clients(
    emulator: Emulator, run: Runner, clock: ManualClock
) -> None:
    made = emulator.add_task("[seconds=73] A fox", external_task_id="af-1")
    emulator.faults.add("GET", "query", "drop", times=2, after=2)
    seen: list[GenerationTask] = []
    plan = WaitPlan(10.0, clock.time() + 3600)
    done = run(flows.wait(made.task_id, KIND, plan, clock=clock.time, on_change=seen.append))
    assert done.status is TaskStatus.SUCCEEDED
    assert done.videos[0].url.startswith("https://kling.test/")
    assert [task.status for task in seen] == list(TaskStatus)[:3]
    assert emulator.ledger()["accepted"] == 1
