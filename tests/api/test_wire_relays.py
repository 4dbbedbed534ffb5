"""Reading what relays make of Kling's answers: one body for each tolerance (a-i) and gateway."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from airflow_provider_kling.api import wire
from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.api.tasks import GenerationTask, TaskStatus, Video
from airflow_provider_kling.exceptions import (
    KlingAPIError,
    KlingAuthenticationError,
    KlingDuplicateError,
    KlingRateLimitError,
    KlingRejectedError,
    KlingServerError,
    KlingTaskNotFoundError,
)
from tests.flow_driver import answer

KIND = TaskKind.TEXT2VIDEO


def read(body: object, status: int = 200) -> GenerationTask:
    return wire.decode_task(answer(body, status), KIND)


def error(body: object, status: int) -> KlingAPIError:
    with pytest.raises(KlingAPIError) as caught:
        read(body, status)
    return caught.value


def original(status: str = "succeed", **more: Any) -> dict[str, Any]:
    """Kling's own answer, as it lies inside a relay's."""
    return {
        "code": 0,
        "message": "SUCCEED",
        "request_id": "r-1",
        "data": {
            "task_id": "900000000000000001",
            "task_status": status,
            "task_status_msg": "",
            "task_info": {"external_task_id": "af-1"},
            "task_result": {"videos": [{"id": "b1", "url": "https://c/v.mp4", "duration": "5.1"}]},
            "final_unit_deduction": "1.5",
            "created_at": 1790000000123,
            "updated_at": 1790000090456,
            **more,
        },
    }


def test_kkiai_leaves_task_info_out() -> None:
    task = read(
        {
            "code": 0,
            "message": "SUCCEED",
            "request_id": "r",
            "data": {
                "task_id": "kling-v1825380683199176793",
                "task_status": "submitted",
                "created_at": 1790000000123,
            },
        }
    )
    assert task.task_id == "kling-v1825380683199176793"
    assert (task.external_task_id, task.updated_at) == ("", None)


def test_cometapi_sends_empty_objects_while_it_works() -> None:
    task = read(
        {"code": 0, "data": {"task_id": "1", "task_status": "processing", "task_info": {}, "task_result": {}}}
    )
    assert (task.status, task.videos, task.external_task_id) == (TaskStatus.PROCESSING, (), "")


def test_xmsmartlink_counts_in_seconds_and_has_an_id_of_its_own_outside() -> None:
    task = read(
        {
            "task_id": "task_abc",
            "code": 0,
            "message": "",
            "data": {
                "task_id": "900000000000000001",
                "task_status": "succeed",
                "created_at": 1790000000,
                "task_result": {
                    "images": None,
                    "videos": [{"id": "", "url": "http://c/v.mp4", "watermark_url": "", "duration": "5.1"}],
                },
            },
        }
    )
    assert task.task_id == "900000000000000001"
    assert task.created_at == datetime.fromtimestamp(1790000000, timezone.utc)
    assert task.videos == (Video("", "http://c/v.mp4", "", 5.1),)


# The new-api family


def test_new_api_answers_a_create_without_envelope_and_with_an_empty_status() -> None:
    task = read(
        {
            "id": "task_x",
            "task_id": "task_x",
            "object": "video",
            "model": "kling-v2-6",
            "status": "",
            "progress": 0,
            "created_at": 1790000000,
        }
    )
    assert (task.task_id, task.status) == ("task_x", TaskStatus.SUBMITTED)
    assert task.created_at == datetime.fromtimestamp(1790000000, timezone.utc)


def wrapped(status: str, **more: Any) -> dict[str, Any]:
    data = {
        "task_id": "task_x",
        "action": "textGenerate",
        "status": status,
        "fail_reason": "",
        "submit_time": 1790000000,
        "start_time": 0,
        "finish_time": 0,
        "progress": "100%",
        **more,
    }
    return {"code": "success", "message": "", "data": data}


def test_new_api_wraps_klings_answer_whole() -> None:
    task = read(wrapped("SUCCESS", data=original()))
    assert task.status is TaskStatus.SUCCEEDED
    assert task.videos == (Video("b1", "https://c/v.mp4", "", 5.1),)
    assert str(task.units) == "1.5"
    assert task.external_task_id == "af-1"


def test_a_wrapped_task_keeps_the_id_by_which_the_relay_can_be_asked_again() -> None:
    assert read(wrapped("IN_PROGRESS", data=original("processing"))).task_id == "task_x"


def test_new_api_may_wrap_the_task_alone_or_nothing() -> None:
    alone = read(wrapped("SUCCESS", data=original()["data"]))
    assert alone.videos[0].url == "https://c/v.mp4"
    nothing = read(wrapped("QUEUED", data=None))
    assert (nothing.status, nothing.videos) == (TaskStatus.SUBMITTED, ())


def test_old_builds_of_new_api_put_the_address_where_the_failure_goes() -> None:
    task = read(wrapped("SUCCESS", fail_reason="https://c/v.mp4", data=None))
    assert task.videos == (Video("", "https://c/v.mp4"),)
    assert task.status_message == ""


def test_new_api_failures_keep_their_reason() -> None:
    task = read(wrapped("FAILURE", fail_reason="Failure to pass the risk control system"))
    assert task.status is TaskStatus.FAILED
    assert task.status_message == "Failure to pass the risk control system"


def test_a_status_new_api_does_not_know_is_not_final() -> None:
    assert not read(wrapped("UNKNOWN")).ended


@pytest.mark.parametrize(
    ("body", "status", "kind", "code"),
    [
        (
            {"code": "task_not_exist", "message": "x", "data": None},
            400,
            KlingTaskNotFoundError,
            "task_not_exist",
        ),
        ({"code": "task_failed", "message": "bad", "data": None}, 400, KlingRejectedError, "task_failed"),
        ({"code": "task_failed", "message": "busy", "data": None}, 429, KlingRateLimitError, "task_failed"),
        ({"code": "task_failed", "message": "oops", "data": None}, 500, KlingServerError, "task_failed"),
        (
            {"code": "fail", "message": "External_task_id a already exists"},
            400,
            KlingDuplicateError,
            "fail",
        ),
        (
            {"error": {"message": "Invalid token", "type": "new_api_error", "code": ""}},
            401,
            KlingAuthenticationError,
            None,
        ),
        ({"error": {"message": "in arrears", "code": 1101}}, 429, KlingAPIError, 1101),
        ({"error": {"message": "no", "code": "quota"}, "code": 0}, 200, KlingRejectedError, "quota"),
        ({"error": "model not found"}, 404, KlingRejectedError, None),
        ({"error": True}, 200, KlingAPIError, None),
        ({"error": {"message": None, "code": []}}, 500, KlingServerError, None),
        ({"code": "1002", "message": "bad key"}, 401, KlingAuthenticationError, 1002),
    ],
)
def test_relays_words_for_errors(body: object, status: int, kind: type[KlingAPIError], code: object) -> None:
    refused = error(body, status)
    assert isinstance(refused, kind)
    assert refused.code == code


# The tolerances by letter; (a) is the base URL, in test_client.py


@pytest.mark.parametrize(
    "body",
    [
        {"code": 0, "data": {"task_id": "t"}},
        {"code": 0, "data": {"id": "t"}},
        {"code": 0, "task_id": "t"},
        {"code": 0, "id": "t", "data": None},
        {"id": "t"},
        {"task_id": "t", "data": {}},
    ],
)
def test_b_the_id_is_found_wherever_it_is(body: object) -> None:
    assert read(body).task_id == "t"


@pytest.mark.parametrize("empty", [None, {}, "", [], 0, False])
@pytest.mark.parametrize("field", ["task_info", "task_result", "task_status_msg", "request_id"])
def test_c_what_is_missing_or_empty_is_not_missed(field: str, empty: object) -> None:
    task = read(
        {"code": 0, "request_id": "r", "data": {"task_id": "t", "task_status": "failed"}} | {field: empty}
    )
    assert task.task_id == "t"
    inner = {"task_id": "t", "task_status": "succeed", field: empty}
    assert read({"code": 0, "data": inner}).status is TaskStatus.SUCCEEDED


@pytest.mark.parametrize("stamp", [1790000000, 1790000000000, 99_999_999_999, 1_600_000_000_000])
def test_d_small_timestamps_are_seconds(stamp: int) -> None:
    created = read({"code": 0, "data": {"task_id": "t", "created_at": stamp}}).created_at
    assert created is not None
    assert created.timestamp() == (stamp if stamp < 1e11 else stamp / 1000)


@pytest.mark.parametrize("code", [0, "0", "success", "SUCCESS", "succeed", None, "", False])
def test_e_success_has_many_names(code: object) -> None:
    assert read({"code": code, "data": {"task_id": "t"}}).task_id == "t"


def test_f_an_unknown_status_is_not_final() -> None:
    assert not read({"code": 0, "data": {"task_id": "t", "task_status": "waiting_for_godot"}}).ended


@pytest.mark.parametrize("code", [1201, "1201", "task_failed", 200, -1, "-1"])
def test_g_a_code_at_http_200_is_an_error(code: object) -> None:
    assert isinstance(
        error({"code": code, "message": "no", "data": {"task_id": "t"}}, 200), KlingRejectedError
    )


def test_h_an_error_object_is_an_error_whatever_the_status_says() -> None:
    assert "no quota" in str(error({"error": {"message": "no quota"}, "data": {"task_id": "t"}}, 200))


def test_i_a_number_beyond_a_floats_precision_is_kept_digit_by_digit() -> None:
    data = '{"task_id": 827996385395363847, "task_info": {"external_task_id": 9007199254740993}}'
    task = read(f'{{"code": 0, "data": {data}}}')
    assert (task.task_id, task.external_task_id) == ("827996385395363847", "9007199254740993")
