"""Reading what Kling says itself: both generations of its API, and everything that can be wrong with it."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_kling.api import wire
from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.api.tasks import GenerationTask, TaskStatus, Video
from airflow_provider_kling.exceptions import (
    KlingAPIError,
    KlingRejectedError,
    KlingResponseError,
    KlingServerError,
    KlingTaskNotFoundError,
)
from tests.flow_driver import answer, ok, refused, task_json

KIND = TaskKind.TEXT2VIDEO
CREATED = datetime.fromtimestamp(1_790_000_000.123, timezone.utc)


def task(data: object, **more: Any) -> GenerationTask:
    return wire.decode_task(ok(data, **more), KIND)


def one(**more: Any) -> GenerationTask:
    return task(task_json(**more))


def test_a_create_is_read() -> None:
    created = one(
        task_info={"external_task_id": "af-1"}, created_at=1_790_000_000_123, updated_at=1_790_000_000_123
    )
    assert created == GenerationTask(
        task_id="900000000000000001",
        kind=KIND,
        status=TaskStatus.SUBMITTED,
        external_task_id="af-1",
        created_at=CREATED,
        updated_at=CREATED,
        request_id="r-1",
    )


def test_a_finished_task_is_read() -> None:
    done = one(
        status="succeed",
        task_status_msg="",
        final_unit_deduction="1.5",
        task_result={
            "videos": [{"id": "b1", "url": "https://c/v.mp4", "watermark_url": "", "duration": "5.041"}]
        },
        created_at=1_790_000_000_123,
        updated_at=1_790_000_090_456,
    )
    assert done.status is TaskStatus.SUCCEEDED
    assert done.videos == (Video("b1", "https://c/v.mp4", "", 5.041),)
    assert done.units == Decimal("1.5")
    assert done.updated_at is not None
    assert (done.updated_at - CREATED).total_seconds() == pytest.approx(90.333)


def test_several_videos_are_all_read() -> None:
    videos = [{"id": str(n), "url": f"https://c/{n}.mp4"} for n in range(3)]
    assert [v.url for v in one(status="succeed", task_result={"videos": videos}).videos] == [
        "https://c/0.mp4",
        "https://c/1.mp4",
        "https://c/2.mp4",
    ]


def test_a_failed_task_is_no_error_of_the_call() -> None:
    failed = one(status="failed", task_status_msg="Failure to pass the risk control system")
    assert failed.status is TaskStatus.FAILED
    assert failed.status_message == "Failure to pass the risk control system"


def test_a_message_on_a_task_that_has_not_failed_is_dropped() -> None:
    assert one(status="succeed", task_status_msg="ok").status_message == ""


def test_the_normalised_object_of_the_new_generation_is_read() -> None:
    done = task(
        {
            "id": "a",
            "status": "succeeded",
            "message": "",
            "create_time": 1_790_000_000_123,
            "update_time": 1_790_000_090_456,
            "external_id": "af-9",
            "outputs": [
                {"type": "image", "url": "https://c/i.png"},
                {"type": "video", "id": "b1", "url": "https://c/v.mp4", "duration": "5.041"},
            ],
            "billing": [
                {"charge_type": "unit", "amount": "1.5"},
                {"charge_type": "unit", "amount": "0.25"},
                {"charge_type": "balance", "amount": "99"},
            ],
        }
    )
    assert (done.task_id, done.external_task_id, done.created_at) == ("a", "af-9", CREATED)
    assert done.status is TaskStatus.SUCCEEDED
    assert done.videos == (Video("b1", "https://c/v.mp4", "", 5.041),)
    assert done.units == Decimal("1.75")


def test_a_normalised_failure_keeps_its_reason() -> None:
    failed = task({"id": "a", "status": "failed", "message": "No luck", "outputs": []})
    assert failed.status_message == "No luck"


def test_a_list_is_read_in_the_order_it_came() -> None:
    page = ok([task_json("1"), task_json("2", "succeed"), {"id": "3", "status": "failed"}])
    tasks = wire.decode_page(page, KIND).tasks
    assert [t.task_id for t in tasks] == ["1", "2", "3"]
    assert {t.request_id for t in tasks} == {"r-1"}


def test_an_empty_list_is_no_task() -> None:
    assert wire.decode_page(answer({"code": 0, "data": []}), KIND).tasks == []


@pytest.mark.parametrize("data", [{"task_id": "1"}, ["1"], [None], "x", 7])
def test_a_list_that_is_none_is_unreadable(data: object) -> None:
    with pytest.raises(KlingAPIError):
        wire.decode_page(answer({"code": 0, "data": data}), KIND)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("submitted", TaskStatus.SUBMITTED),
        ("processing", TaskStatus.PROCESSING),
        ("succeed", TaskStatus.SUCCEEDED),
        ("succeeded", TaskStatus.SUCCEEDED),
        ("SUCCESS", TaskStatus.SUCCEEDED),
        ("failed", TaskStatus.FAILED),
        ("FAILURE", TaskStatus.FAILED),
        ("NOT_START", TaskStatus.SUBMITTED),
        ("QUEUED", TaskStatus.SUBMITTED),
        ("IN_PROGRESS", TaskStatus.PROCESSING),
        ("completed", TaskStatus.SUCCEEDED),
        ("", TaskStatus.SUBMITTED),
    ],
)
def test_every_spelling_of_a_status_is_known(word: str, status: TaskStatus) -> None:
    assert one(status=word).status is status


def test_an_unknown_status_is_not_final_and_is_logged_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "_seen_unknown_words", set())
    for _ in range(3):
        assert not one(status="PAUSED").ended
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [
        (logging.WARNING, "Unknown task status 'PAUSED': taken as not finished.")
    ]


@pytest.mark.parametrize("word", [None, [], {}, True])
def test_a_status_that_is_no_word_is_not_final(word: object) -> None:
    assert not one(status=word).ended  # type: ignore[arg-type]


# Values


@pytest.mark.parametrize(
    "task_id", [827996385395363846, "827996385395363846", 2**63 + 1, "CjI17WevH1IAAAAAAHmgsw"]
)
def test_ids_are_exact_strings_even_where_a_number_comes(task_id: object) -> None:
    assert one(task_id=task_id).task_id == str(task_id)  # type: ignore[arg-type]


@pytest.mark.parametrize("stamp", [1_790_000_000_123, "1790000000123", 1_790_000_000.123, 1.790000000123e12])
def test_seconds_and_milliseconds_are_told_apart(stamp: object) -> None:
    created = one(created_at=stamp).created_at
    assert created is not None
    assert abs((created - CREATED).total_seconds()) < 0.001


@pytest.mark.parametrize(
    "stamp",
    [
        None,
        "",
        "yesterday",
        0,
        1,
        86_400_000,
        -5,
        True,
        [],
        {},
        float("inf"),
        10**400,
        "1" * 400,
        1e300,
        253402300799000,
    ],
)
def test_a_time_that_is_none_or_no_tasks_is_not_known(stamp: object) -> None:
    read = one(created_at=stamp)
    assert read.created_at is None
    assert read.summary()["expires_at"] is None


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("5.1", 5.1),
        (5, 5.0),
        ("", None),
        (None, None),
        ("long", None),
        ([], None),
        ("nan", None),
        (10**400, None),
    ],
)
def test_a_duration_is_float_seconds_or_unknown(given: object, seconds: float | None) -> None:
    done = one(status="succeed", task_result={"videos": [{"url": "https://c/v.mp4", "duration": given}]})
    assert done.videos[0].duration == seconds


@pytest.mark.parametrize(
    ("given", "units"),
    [
        ("1.5", "1.5"),
        (2, "2"),
        (0, "0"),
        (0.3, "0.3"),
        ("", None),
        (None, None),
        ("free", None),
        ("NaN", None),
        ([], None),
        ({"a": 1}, None),
        ("1e999999", None),
        ("Infinity", None),
    ],
)
def test_units_are_exact_or_unknown(given: object, units: str | None) -> None:
    read = one(final_unit_deduction=given).units
    assert read == (None if units is None else Decimal(units))


@pytest.mark.parametrize(
    "billing",
    [
        None,
        "x",
        [],
        [None],
        [{}],
        [{"charge_type": "unit"}],
        [{"charge_type": "unit", "amount": "9e999999"}] * 2,
    ],
)
def test_a_bill_that_says_nothing_is_not_known(billing: object) -> None:
    assert one(billing=billing).units is None


@pytest.mark.parametrize(
    "result",
    [None, {}, [], "x", *({"videos": v} for v in (None, {}, "x", [None, "x", 1], [{"id": "a"}]))],
)
def test_a_result_without_an_address_is_no_video(result: object) -> None:
    assert one(status="succeed", task_result=result).videos == ()


def test_videos_of_a_task_that_has_not_succeeded_are_not_shown() -> None:
    assert one(status="processing", task_result={"videos": [{"url": "https://c/v.mp4"}]}).videos == ()


@pytest.mark.parametrize("url", [None, "", [], {"a": 1}, True])
def test_an_address_that_is_no_text_is_no_video(url: object) -> None:
    assert one(status="succeed", task_result={"videos": [{"id": "a", "url": url}]}).videos == ()


# Errors


def test_an_http_200_with_a_code_is_an_error() -> None:
    with pytest.raises(KlingRejectedError, match="duration value '99' is invalid") as caught:
        wire.decode_task(refused(1201, "duration value '99' is invalid", 200), KIND)
    assert (caught.value.code, caught.value.http_status, caught.value.request_id) == (1201, 200, "r-2")


def test_not_found_is_an_error_of_its_own() -> None:
    with pytest.raises(KlingTaskNotFoundError):
        wire.decode_task(refused(1201, "Task not found by id/external id: nope"), KIND)


@pytest.mark.parametrize("data", [None, [], "x", 5, {}, {"task_status": "submitted"}, {"task_id": None}])
def test_a_success_without_a_task_is_unreadable(data: object) -> None:
    with pytest.raises(KlingResponseError, match="not the Kling API's"):
        wire.decode_task(answer({"code": 0, "request_id": "r", "data": data}), KIND)


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "7", '"x"', "<html>", "{", '{"a":', "\x00", "[" * 100_000, "9" * 10_000, "NaN"]
)
@pytest.mark.parametrize("status", [200, 201, 204])
def test_a_body_nobody_can_read_is_quoted(text: str, status: int) -> None:
    with pytest.raises(KlingResponseError) as caught:
        wire.decode_task(answer(text, status), KIND)
    assert len(str(caught.value)) < 1000
    assert caught.value.code is None
    assert caught.value.service_message == text[:500]


def test_a_page_of_a_proxy_is_trouble_at_the_host() -> None:
    with pytest.raises(KlingServerError, match="trouble at the host.*HTTP 502.*<html>") as caught:
        wire.decode_task(answer("<html>", 502, retry_after="30"), KIND)
    assert caught.value.retry_after == 30.0


@pytest.mark.parametrize("header", ["soon", "Wed, 21 Oct 2026 07:28:00 GMT", "-1", "inf", ""])
def test_a_retry_after_that_is_no_number_of_seconds_is_left_aside(header: str) -> None:
    with pytest.raises(KlingAPIError) as caught:
        wire.decode_task(refused(1302, "slow", 429, retry_after=header), KIND)
    assert caught.value.retry_after is None


def test_a_retry_after_that_is_a_date_counts_from_the_answers_own() -> None:
    refusal = refused(1302, "slow", 429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT")
    refusal.headers["date"] = "Wed, 21 Oct 2026 07:27:30 GMT"
    with pytest.raises(KlingAPIError) as caught:
        wire.decode_task(refusal, KIND)
    assert caught.value.retry_after == 30.0


@pytest.mark.parametrize("message", [None, "", {"a": 1}, ["x"], 5])
def test_an_error_without_words_quotes_the_body(message: object) -> None:
    with pytest.raises(KlingServerError, match="request_id r-2") as caught:
        wire.decode_task(answer({"code": 5000, "message": message, "request_id": "r-2"}, 500), KIND)
    assert '"code": 5000' in caught.value.service_message


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"code": 0}, 0),
        ({"code": "0"}, 0),
        ({"code": "success"}, 0),
        ({"code": 1201}, 1201),
        ({"code": " 1201 "}, 1201),
        ({"code": "task_failed"}, None),
        ({"code": "²"}, None),
        ({"code": "9" * 20}, None),
        ({"code": None}, None),
        ({"code": True}, None),
        ({"code": [1201]}, None),
        ({"code": {"code": 1201}}, None),
        ({}, None),
        ([1201], None),
        ("<html>", None),
    ],
)
def test_klings_own_code_is_a_number_or_nothing(body: object, code: int | None) -> None:
    assert wire.kling_code(answer(body)) == code
