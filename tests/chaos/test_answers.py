"""Rows 1, 2 and 3: what can happen to the answer of a create, three ways of use, on a real socket."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from airflow_provider_kling.api import lookup, polling
from airflow_provider_kling.emulator import Fault
from tests.chaos.conftest import SECRET, SETTINGS
from tests.chaos.gate import Gate
from tests.chaos.lives import ELSEWHERE, WAYS, Life, measure
from tests.chaos.report import Measured, Report
from tests.emulator_fixtures import Served
from tests.fakes import FakeStateStore

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("fast")]

#: Row 2 of the issue.
ANSWERS: dict[str, dict[str, Any]] = {
    "500": {"kind": "status", "status": 500},
    "502": {"kind": "status", "status": 502},
    "503": {"kind": "status", "status": 503},
    "504": {"kind": "status", "status": 504},
    "5000": {"kind": "kling", "code": 5000},
    "5001": {"kind": "kling", "code": 5001},
    "5002": {"kind": "kling", "code": 5002},
    "HTML page": {"kind": "html"},
    "empty body": {"kind": "empty"},
    "truncated JSON": {"kind": "truncated"},
}
#: A try gives up on a refused connection, and on a look-up, after some attempts; this is more than those.
A_TRY = 20

three_ways = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(params=SETTINGS.values(), ids=SETTINGS.keys())
def setting(request: pytest.FixtureRequest) -> tuple[str, bool, bool]:
    where: tuple[str, bool, bool] = request.param
    return where


@pytest.fixture
def life(way: str, setting: tuple[str, bool, bool], kling: Served, connect: Callable[..., None]) -> Life:
    """A task instance that uses the emulator in one of three ways, under one of the settings."""
    host, signed, remembered = setting
    # A relay's "not found" is believed only where its list shows that it keeps external ids.
    kling.emulator.add_task(ELSEWHERE, external_task_id="elsewhere")
    key = {"login": "access", "password": SECRET} if signed else {"password": "emulator-key"}
    connect(host=kling.url.replace("127.0.0.1", host), **key, extra=json.dumps({"timeout": 1}))
    return Life(way, FakeStateStore() if remembered else None)


def live(life: Life, kling: Served) -> Measured:
    """Live, and find one video, accepted and charged once."""
    measured = measure(kling, life.live())
    assert measured.delivered
    assert (measured.accepted, measured.charged) == (1, 1)
    return measured


@three_ways
def test_a_refused_connection_buys_nothing_and_the_retry_buys_once(
    life: Life, kling: Served, setting: tuple[str, bool, bool], connect: Callable[..., None], report: Report
) -> None:
    with Gate(int(kling.url.split(":")[2].split("/")[0])) as gate:
        gate.shut()
        connect(host=f"http://{setting[0]}:{gate.port}/kling", password="emulator-key")
        life.between = gate.open
        measured = live(life, kling)
    assert len(life.errors) == 1
    assert "bought nothing" in life.errors[0]
    report.add("1.refused", measured)


@three_ways
@pytest.mark.parametrize("kind", ["drop", "reset"])
def test_a_connection_that_dies_before_the_answer_costs_nothing_more(
    life: Life, kling: Served, kind: str, report: Report
) -> None:
    kling.emulator.faults.add("POST", "create", Fault(kind, accepted=True))
    report.add("1.before_answer", live(life, kling))


@three_ways
@pytest.mark.parametrize("kind", ["drop", "reset", "connect"])
def test_a_create_that_was_never_accepted_is_sent_again(
    life: Life, kling: Served, kind: str, report: Report
) -> None:
    kling.emulator.faults.add("POST", "create", kind)
    report.add("1.never_arrived", live(life, kling))


@three_ways
@pytest.mark.parametrize("at", [0, None], ids=["at its first byte", "in its middle"])
def test_a_connection_that_dies_in_the_answers_body_costs_nothing_more(
    life: Life, kling: Served, at: int | None, report: Report
) -> None:
    kling.emulator.faults.add("POST", "create", Fault("cut", at=at))
    report.add("1.in_body", live(life, kling))


@three_ways
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
@pytest.mark.parametrize("row", ["2.accepted", "2.not_accepted"])
def test_an_answer_that_says_nothing_clear_costs_nothing_more(
    life: Life, kling: Served, answer: Mapping[str, Any], row: str, report: Report
) -> None:
    kling.emulator.faults.add("POST", "create", Fault(accepted=row == "2.accepted", **answer))
    report.add(row, live(life, kling))


@three_ways
@pytest.mark.parametrize(
    ("row", "failing"),
    [("3.timeout", 0), ("3.look_up_fails_twice", 2), ("3.look_up_fails_for_a_try", A_TRY)],
)
def test_a_read_timeout_costs_nothing_more_whatever_the_look_up_does(
    life: Life, kling: Served, row: str, failing: int, report: Report
) -> None:
    kling.emulator.faults.add("POST", "create", Fault("hang", accepted=True))
    if failing:
        kling.emulator.faults.add("GET", "query", Fault("drop"), times=failing)
    life.between = kling.emulator.faults.clear
    measured = live(life, kling)
    assert life.errors or failing < A_TRY
    assert measured.sent == 1
    report.add(row, measured)


@three_ways
def test_a_look_up_that_lags_behind_the_create_costs_nothing_more(
    way: str, kling: Served, connect: Callable[..., None], report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The real pause against the real lag once; the others at a tenth of both.
    pace = 1.0 if way == "plain" else 0.1
    monkeypatch.setattr(lookup, "LOOK_AGAIN_AFTER", 5.0 * pace)
    monkeypatch.setattr(polling, "MAX_BACKOFF", 60.0)
    kling.emulator.settings.visibility_lag = 3.0 * pace
    connect(host=kling.url, password="emulator-key", extra=json.dumps({"timeout": 0.5 * pace}))
    kling.emulator.faults.add("POST", "create", Fault("hang", accepted=True))
    report.add("3.look_up_lags", live(Life(way), kling))
