"""The account's resource packs: the doubled envelope, and at most one call a second."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_kling.api import costs
from airflow_provider_kling.api.flows import READ_ATTEMPTS, Send, Sleep
from airflow_provider_kling.api.wire import Answer
from airflow_provider_kling.exceptions import (
    KlingInputError,
    KlingRateLimitError,
    KlingResponseError,
    KlingServerError,
)

END = datetime(2026, 11, 1, tzinfo=timezone.utc)
START = END - timedelta(days=30)
PACK = {
    "resource_pack_name": "Trial-Video-100Units-5Con-1Months",
    "resource_pack_id": "p1",
    "resource_pack_type": "decreasing_total",
    "total_quantity": 100,
    "remaining_quantity": 98.5,
    "purchase_time": 1790000000123,
    "effective_time": 1790000000123,
    "invalid_time": 1792592000123,
    "status": "online",
}


@pytest.fixture(autouse=True)
def nobody_asked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "_next_free", float("-inf"))


def body(inner: Any) -> str:
    return json.dumps({"code": 0, "message": "SUCCEED", "request_id": "r", "data": inner})


def run(flow: Generator[Any, Any, Any], *answers: Answer) -> tuple[Any, list[Any]]:
    left, steps, outcome = list(answers), [], None
    try:
        while True:
            step = flow.send(outcome)
            steps.append(step)
            outcome = left.pop(0) if isinstance(step, Send) else None
    except StopIteration as stop:
        return stop.value, steps


def test_packs_are_read_from_the_doubled_envelope() -> None:
    answer = Answer(200, body({"code": 0, "msg": "success", "resource_pack_subscribe_infos": [PACK]}))
    (pack,), (send,) = run(costs.account_costs(START, END, "Trial", clock=lambda: 0.0), answer)
    assert (send.method, send.path) == ("GET", "/account/costs")
    assert send.params == {
        "start_time": int(START.timestamp() * 1000),
        "end_time": int(END.timestamp() * 1000),
        "resource_pack_name": "Trial",
    }
    assert (pack.name, pack.id, pack.kind, pack.status) == (
        "Trial-Video-100Units-5Con-1Months",
        "p1",
        "decreasing_total",
        "online",
    )
    assert (pack.total, pack.remaining) == (Decimal(100), Decimal("98.5"))
    assert pack.expires_at == datetime.fromtimestamp(1792592000.123, timezone.utc)


def test_an_inner_refusal_is_a_refusal() -> None:
    answer = Answer(200, body({"code": 1302, "msg": "too often"}))
    with pytest.raises(KlingRateLimitError, match="too often"):
        run(costs.account_costs(START, END, clock=lambda: 0.0), *[answer] * 4)


@pytest.mark.parametrize("inner", [{"code": 0}, [], {"resource_pack_subscribe_infos": [1]}])
def test_what_nobody_can_read_is_told_as_such(inner: Any) -> None:
    with pytest.raises(KlingResponseError):
        run(costs.account_costs(START, END, clock=lambda: 0.0), Answer(200, body(inner)))


def test_fields_that_are_missing_are_unknown() -> None:
    answer = Answer(200, body({"code": 0, "resource_pack_subscribe_infos": [{}]}))
    (pack,), _ = run(costs.account_costs(START, END, clock=lambda: 0.0), answer)
    assert (pack.name, pack.total, pack.remaining, pack.expires_at) == ("", None, None, None)


def test_calls_of_one_process_are_a_second_apart() -> None:
    answer = Answer(200, body({"code": 0, "resource_pack_subscribe_infos": []}))
    _, first = run(costs.account_costs(START, END, clock=lambda: 10.0), answer)
    _, second = run(costs.account_costs(START, END, clock=lambda: 10.2), answer)
    _, third = run(costs.account_costs(START, END, clock=lambda: 60.0), answer)
    assert not isinstance(first[0], Sleep)
    assert second[0] == Sleep(pytest.approx(costs.PAUSE - 0.2))
    assert not isinstance(third[0], Sleep)


def test_a_retry_waits_for_its_turn_too() -> None:
    now, sent = 0.0, []
    flow = costs.account_costs(START, END, clock=lambda: now)
    trouble = Answer(500, json.dumps({"code": 5000, "message": "x", "request_id": "r"}))
    outcome = None
    with contextlib.suppress(KlingServerError):
        while True:
            step = flow.send(outcome)
            if isinstance(step, Sleep):
                now, outcome = now + step.seconds, None
            else:
                sent.append(now)
                now, outcome = now + 0.25, trouble
    assert len(sent) == READ_ATTEMPTS
    # From one answer to the next call.
    assert all(later - earlier >= 0.25 + costs.PAUSE - 1e-9 for earlier, later in pairwise(sent))


@pytest.mark.parametrize("period", [(END, START), (START, START), (START.replace(tzinfo=None), END)])
def test_a_period_that_makes_no_sense_is_refused(period: Any) -> None:
    with pytest.raises(KlingInputError):
        run(costs.account_costs(*period, clock=lambda: 0.0))
