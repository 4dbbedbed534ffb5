"""Whatever arrives, reading it gives a task, a list, or a KlingError: nothing else gets out."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_kling.api import flows, wire
from airflow_provider_kling.api.auth import ApiKeyAuth
from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.api.client import ClientSettings, KlingClient
from airflow_provider_kling.api.wire import Answer
from airflow_provider_kling.exceptions import KlingError

KIND = TaskKind.TEXT2VIDEO
SECRET = "sk-very-secret-key-0123456789"

WORDS = """
    code message request_id data error task_id id task_status status task_status_msg task_info
    external_task_id external_id task_result videos outputs url watermark_url duration type billing
    charge_type amount final_unit_deduction created_at create_time submit_time updated_at fail_reason
"""
KEYS = st.sampled_from(WORDS.split())
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(10**300, 10**320),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from([0, "0", 1201, "success", "succeed", "failed", "video", "unit", "http://x", "9e999999"]),
)
BODIES = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=8),
    max_leaves=15,
)
STATUSES = st.sampled_from([200, 201, 204, 301, 400, 401, 404, 408, 429, 499, 500, 502, 503])


def read_all(answer: Answer) -> None:
    for decode in (wire.decode_task, wire.decode_page):
        with contextlib.suppress(KlingError):
            read = decode(answer, KIND)
            for task in read.tasks if isinstance(read, wire.Page) else [read]:
                json.dumps(task.summary(), allow_nan=False)
                type(task).from_summary(task.summary())
    wire.kling_code(answer)


@settings(max_examples=150)
@given(body=BODIES, status=STATUSES, retry_after=st.none() | st.text(max_size=8))
def test_any_json_is_a_task_or_an_error(body: Any, status: int, retry_after: str | None) -> None:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    read_all(Answer(status, json.dumps(body), headers))


@settings(max_examples=100)
@given(data=st.dictionaries(KEYS, BODIES, max_size=10))
def test_any_task_object_is_a_task_or_an_error(data: dict[str, Any]) -> None:
    read_all(Answer(200, json.dumps({"code": 0, "data": {"task_id": "t", **data}})))
    read_all(Answer(200, json.dumps({"code": 0, "data": [{"task_id": "t", **data}]})))


@pytest.mark.parametrize("depth", [50, 400, 900, 5_000, 200_000])
@pytest.mark.parametrize("pair", ["[]", ('{"data":', "}"), ('{"error":', "}"), ('{"message":', "}")])
def test_nesting_however_deep_is_an_error_or_a_task(depth: int, pair: Any) -> None:
    read_all(Answer(200, pair[0] * depth + "1" + pair[1] * depth))
    read_all(Answer(400, '{"code": 1201, "message": ' + pair[0] * depth + "1" + pair[1] * depth + "}"))


TYPES = ["application/json", "text/html; charset=hex", "text/plain; charset=utf-16", "x; charset=\xff", ""]


@settings(max_examples=200)
@given(
    raw=st.binary(max_size=200) | BODIES.map(lambda body: json.dumps(body).encode()),
    status=STATUSES,
    content_type=st.sampled_from(TYPES),
)
def test_any_bytes_under_any_charset_are_a_task_or_an_error(
    raw: bytes, status: int, content_type: str
) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            status, content=raw, headers=[(b"content-type", content_type.encode("latin-1"))]
        )

    settings_ = ClientSettings("https://k.test", ApiKeyAuth(SECRET))
    with (
        KlingClient(settings_, transport=httpx.MockTransport(serve), sleep=lambda s: None) as client,
        contextlib.suppress(KlingError),
    ):
        client.run(flows.get_task("t", KIND))


@settings(max_examples=100)
@given(before=st.text(max_size=30), after=st.text(max_size=30), status=STATUSES)
def test_a_key_that_is_echoed_is_never_quoted(before: str, after: str, status: int) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, text=f"{before}{request.headers['authorization']} {SECRET}{after}")

    settings_ = ClientSettings("https://k.test", ApiKeyAuth(SECRET))
    with KlingClient(settings_, transport=httpx.MockTransport(serve), sleep=lambda s: None) as client:
        with pytest.raises(KlingError) as caught:
            client.run(flows.get_task("t", KIND))
        assert SECRET not in f"{caught.value} {caught.value!r} {vars(caught.value)}"
