"""Kling's codes as exceptions: sorted by what helps, with code, advice and request_id in words."""

from __future__ import annotations

import copy
import pickle

import pytest

from airflow_provider_kling import exceptions as ex
from airflow_provider_kling.api import errors
from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.api.tasks import GenerationTask, TaskStatus, Video

#: code, HTTP status of the official table, class, hopeless, a word of the advice
TABLE = [
    (1000, 401, ex.KlingAuthenticationError, True, "password"),
    (1001, 401, ex.KlingAuthenticationError, True, "password"),
    (1002, 401, ex.KlingAuthenticationError, True, "password"),
    (1003, 401, ex.KlingAuthenticationError, True, "clock"),
    (1004, 401, ex.KlingAuthenticationError, True, "clock"),
    (1100, 429, ex.KlingAccountError, True, "console"),
    (1101, 429, ex.KlingAccountError, True, "bill"),
    (1102, 429, ex.KlingAccountError, True, "pack"),
    (1103, 403, ex.KlingPermissionError, True, "access"),
    (1200, 400, ex.KlingRejectedError, True, "Correct"),
    (1201, 400, ex.KlingRejectedError, True, "Correct"),
    (1202, 404, ex.KlingRejectedError, True, "host"),
    (1203, 404, ex.KlingRejectedError, True, "model_name"),
    (1300, 400, ex.KlingContentPolicyError, True, "prompt"),
    (1301, 400, ex.KlingContentPolicyError, True, "prompt"),
    (1302, 429, ex.KlingRateLimitError, False, "may succeed"),
    (1303, 429, ex.KlingConcurrencyError, False, "pool"),
    (1304, 429, ex.KlingPermissionError, True, "console"),
    (5000, 500, ex.KlingServerError, False, "may succeed"),
    (5001, 503, ex.KlingServerError, False, "may succeed"),
    (5002, 504, ex.KlingServerError, False, "may succeed"),
]


@pytest.mark.parametrize(("code", "status", "kind", "hopeless", "advice"), TABLE)
def test_every_code_of_the_official_table_has_its_class_and_says_what_to_do(
    code: int, status: int, kind: type[ex.KlingAPIError], hopeless: bool, advice: str
) -> None:
    error = errors.refusal(status=status, code=code, text="the words", request_id="r-7", retry_after=3)
    assert type(error) is kind
    assert error.hopeless is hopeless
    assert str(error).startswith(f"{code}: ")
    for part in ("This call bought nothing.", advice, "'the words'", "request_id r-7", f"HTTP {status}"):
        assert part in str(error)
    assert ("retrying will not help" in str(error)) is hopeless
    assert (error.code, error.http_status, error.request_id) == (code, status, "r-7")
    assert (error.service_message, error.retry_after) == ("the words", 3)


@pytest.mark.parametrize("status", [200, 400, 429, 500])
@pytest.mark.parametrize(("code", "kind"), [(row[0], row[2]) for row in TABLE])
def test_the_code_decides_and_not_the_status(code: int, kind: type[ex.KlingAPIError], status: int) -> None:
    assert type(errors.refusal(status=status, code=code, text="")) is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ex.KlingRejectedError),
        (401, ex.KlingAuthenticationError),
        (402, ex.KlingAccountError),
        (403, ex.KlingPermissionError),
        (404, ex.KlingRejectedError),
        (405, ex.KlingRejectedError),
        (408, ex.KlingServerError),
        (413, ex.KlingRejectedError),
        (429, ex.KlingRateLimitError),
        (499, ex.KlingServerError),
        (500, ex.KlingServerError),
        (502, ex.KlingServerError),
        (529, ex.KlingServerError),
        (302, ex.KlingRejectedError),
        (308, ex.KlingRejectedError),
        (200, ex.KlingResponseError),
    ],
)
@pytest.mark.parametrize("code", [None, "fail"])
def test_without_klings_code_the_status_decides(
    status: int, kind: type[ex.KlingAPIError], code: str | None
) -> None:
    error = errors.refusal(status=status, code=code, text="<html>")
    if code and status == 200:
        kind = ex.KlingRejectedError
    assert type(error) is kind
    assert str(error).startswith(f"{code or f'HTTP {status}'}: ")
    assert "request_id not given" in str(error)


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        (1201, "Task not found by id/external id: nope", ex.KlingTaskNotFoundError),
        ("task_not_exist", "whatever", ex.KlingTaskNotFoundError),
        (1201, "External_task_id af-1 already exists", ex.KlingDuplicateError),
        (1200, "external_task_id is duplicated", ex.KlingDuplicateError),
        (1201, "external task id already in use", ex.KlingDuplicateError),
        ("task_failed", "External_task_id af-1 already exists", ex.KlingDuplicateError),
        (1201, "external_task_id 重复", ex.KlingDuplicateError),
        (1201, "Voice id not found", ex.KlingRejectedError),
        (1201, "Element not found", ex.KlingRejectedError),
        (1201, "external_task_id value 'a b' is invalid", ex.KlingRejectedError),
        (1201, "mode value 'std' is invalid", ex.KlingRejectedError),
        (1203, "Task not found", ex.KlingRejectedError),
        (5000, "Task not found", ex.KlingServerError),
        (1301, "External_task_id already exists", ex.KlingContentPolicyError),
    ],
)
def test_not_found_and_duplicate_are_told_from_other_refusals_by_their_words(
    code: int | str, words: str, kind: type[ex.KlingAPIError]
) -> None:
    assert type(errors.refusal(status=400, code=code, text=words)) is kind


def test_a_long_answer_is_quoted_up_to_500_characters_on_one_line() -> None:
    error = errors.refusal(status=502, code=None, text="a\n b\t" * 5000)
    assert len(error.service_message) == 500
    assert "\n" not in str(error)
    assert len(str(error)) < 800


def test_an_empty_answer_is_said_to_be_nothing() -> None:
    assert "the service said: 'nothing'" in str(errors.unreadable(200, ""))


# Tasks that failed


def a_task(status: TaskStatus, message: str = "", videos: tuple[Video, ...] = ()) -> GenerationTask:
    return GenerationTask(
        "9", TaskKind.TEXT2VIDEO, status, message, external_task_id="af-1", videos=videos, request_id="r-7"
    )


@pytest.mark.parametrize(
    ("message", "policy"),
    [
        ("Failure to pass the risk control system", True),
        ("内容未通过风控", True),
        ("Sensitive content", True),
        ("Generation failed: internal error", False),
        ("", False),
    ],
)
def test_a_failed_task_says_that_it_was_not_charged_and_whether_a_retry_helps(
    message: str, policy: bool
) -> None:
    error = errors.task_failed(a_task(TaskStatus.FAILED, message))
    assert error.hopeless is policy
    assert (error.task_id, error.external_task_id) == ("9", "af-1")
    assert (message or "no reason given") in str(error)
    assert "Failed tasks are not charged" in str(error)
    assert ("Change the prompt" if policy else "A retry submits a new task") in str(error)
    assert "request_id r-7" in str(error)


def test_a_task_that_ended_well_is_accepted_and_one_that_did_not_is_raised() -> None:
    errors.check_ended_well(a_task(TaskStatus.SUCCEEDED, videos=(Video("1", "https://c/v.mp4"),)))
    with pytest.raises(ex.KlingTaskFailedError):
        errors.check_ended_well(a_task(TaskStatus.FAILED, "no"))
    with pytest.raises(ex.KlingResponseError, match=r"Task 9 .*names no video.*bought again") as caught:
        errors.check_ended_well(a_task(TaskStatus.SUCCEEDED))
    assert not caught.value.hopeless


# The tree


def test_every_error_is_a_kling_error_and_on_one_of_the_two_branches() -> None:
    classes = [c for c in vars(ex).values() if isinstance(c, type) and issubclass(c, ex.KlingError)]
    branches = (ex.KlingInputError, ex.KlingAPIError, ex.KlingTaskError)
    assert all(c is ex.KlingError or issubclass(c, branches) for c in classes)
    assert all(c.__doc__ for c in classes)
    assert issubclass(ex.KlingInputError, ValueError)


@pytest.mark.parametrize(
    "error",
    [
        ex.KlingInputError("m"),
        ex.KlingAccountError(
            "m", code=1102, http_status=429, request_id="r", service_message="s", retry_after=1
        ),
        ex.KlingTaskFailedError("m", task_id="1", external_task_id="e", hopeless=True),
        ex.KlingUnknownOutcomeError("m", external_task_id="e"),
    ],
)
def test_errors_survive_the_way_between_processes(error: ex.KlingError) -> None:
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(other), str(other), vars(other)) == (type(error), str(error), vars(error))
