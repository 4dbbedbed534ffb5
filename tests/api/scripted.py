"""A submission driven by a script of outcomes, and all the ways in which an answer gets lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.api.flows import Outcome
from airflow_provider_kling.api.lookup import Books
from airflow_provider_kling.api.submission import submit
from tests.flow_driver import (
    LOST,
    Run,
    answer,
    drive,
    ok,
    refused,
    task_json,
)

BODY = {"model_name": "kling-v2-6", "prompt": "A fox"}
HTML = "<html><body>502 Bad Gateway</body></html>"


def name_of(generation: int) -> str:
    return f"af-x-{generation}"


def attempt(outcomes: Sequence[Outcome], *, external_id: Callable[[int], str] = name_of, **more: Any) -> Run:
    arguments: dict[str, Any] = {"look_up_first": False, "now": 0.0, **more}
    books = Books(TaskKind.TEXT2VIDEO, arguments.pop("keeps_ids", True))
    run = drive(submit(BODY, books, external_id, **arguments), outcomes)
    assert run.left == 0, "the flow stopped before the script ended"
    return run


UNKNOWN = {
    "read timeout or dropped connection": LOST,
    "no outcome at all": None,
    "5000": refused(5000, "internal", 500),
    "5002": refused(5002, "timeout", 504),
    "5000 under a 4xx": refused(5000, "internal", 400),
    "a 5xx code of tomorrow": refused(5003, "?", 503),
    "a 1xxx code of tomorrow": refused(1999, "?", 429),
    "a code below 1000": refused(200, "success", 200),
    "500": answer(HTML, 500),
    "502": answer(HTML, 502),
    "503": answer(HTML, 503),
    "504": answer(HTML, 504),
    "408": answer(HTML, 408),
    "499": answer("", 499),
    "a page": answer(HTML),
    "empty body": answer(""),
    "truncated JSON": answer('{"code": 0, "data": {"task_id": "9000'),
    "a success without an id": ok({"task_status": "submitted"}),
    "a success that is a list": answer([1, 2]),
    "data that is a list": ok([task_json()]),
    "a relay's word at 200": answer({"code": "task_failed", "message": "?"}),
    "an error object at 500": answer({"error": {"message": "?", "code": 1301}}, 500),
}
lost = pytest.mark.parametrize("outcome", UNKNOWN.values(), ids=UNKNOWN.keys())
