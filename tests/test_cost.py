"""What a video will cost is said, and limited, before it is bought; what was spent is counted once."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_kling import cost, version_compat
from airflow_provider_kling.api.requests import Text2VideoRequest
from airflow_provider_kling.exceptions import KlingInputError
from tests.fakes import FakeStateStore, FakeTaskInstance, context_of

#: Units of the official table of 2026-09, and of the list per clip before it.
PRICES = [
    ("kling-v1", {"mode": "std", "duration": 5}, "1"),
    ("kling-v1", {"mode": "pro", "duration": 10}, "7"),
    ("kling-v1-6", {"mode": "pro", "duration": 5}, "3.5"),
    ("kling-v2-master", {"duration": 10}, "20"),
    ("kling-v2-1-master", {}, "10"),
    ("kling-v2-5-turbo", {"mode": "pro"}, "2.5"),
    ("kling-v2-6", {}, "1.5"),
    ("kling-v2-6", {"mode": "pro", "sound": "on", "duration": 10}, "10"),
    ("kling-v2-6", {"mode": "pro", "sound": "on", "voice_list": [{"voice_id": "v"}]}, "6"),
    ("kling-v3", {"duration": 3}, "1.8"),
    ("kling-v3", {"mode": "4k", "duration": 15}, "45"),
    ("kling-v3", {"mode": "pro", "sound": "on", "duration": 7}, "8.4"),
    ("kling-v3", {"sound": "on", "voice_list": [{"voice_id": "v"}]}, "4.5"),
]


def request(model: str, **fields: Any) -> Text2VideoRequest:
    return Text2VideoRequest(model_name=model, prompt="A fox", **fields)


@pytest.mark.parametrize(("model", "fields", "units"), PRICES)
def test_the_estimate_is_the_list_price(model: str, fields: dict[str, Any], units: str) -> None:
    assert cost.estimate(request(model, **fields)) == Decimal(units)


def test_an_estimate_within_the_limit_is_logged_and_passes(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for limit in (None, "", " ", 1.5, "1.5", 2):
            assert str(cost.check_budget(request("kling-v2-6"), limit)) == "1.5"
    assert "some 1.5 units (kling-v2-6, mode default, 5 s; list price of 2026-09)" in caplog.text


def test_an_estimate_above_the_limit_is_refused() -> None:
    with pytest.raises(KlingInputError, match=r"should cost 1.5 units .*at most 1.4 may.*Nothing was bought"):
        cost.check_budget(request("kling-v2-6"), "1.4")


def test_a_model_without_a_price_is_refused_only_where_there_is_a_limit() -> None:
    assert cost.check_budget(request("kling-v9")) is None
    with pytest.raises(KlingInputError, match="no price is known for kling-v9.*Nothing was bought"):
        cost.check_budget(request("kling-v9"), 100)


@pytest.mark.parametrize("limit", ["many", -1, True, "nan", "None", [], "inf"])
def test_a_limit_that_is_no_number_is_refused(limit: Any) -> None:
    with pytest.raises(KlingInputError, match="max_units: it must be a number of units"):
        cost.check_budget(request("kling-v2-6"), limit)


def test_fields_of_unknown_price_are_told(caplog: pytest.LogCaptureFixture) -> None:
    cost.check_budget(request("kling-v2-6", extra_body={"upscale": True}), 2)
    assert "extra_body" in caplog.text


class FakeStats:
    def __init__(self) -> None:
        self.counted: list[tuple[str, float, dict[str, str]]] = []

    def incr(self, name: str, count: float, *, tags: dict[str, str]) -> None:
        self.counted.append((name, count, tags))


@pytest.fixture
def stats(monkeypatch: pytest.MonkeyPatch) -> FakeStats:
    fake = FakeStats()
    monkeypatch.setattr(version_compat, "stats", lambda: fake)
    return fake


SUMMARY = {"task_id": "900", "units": "1.5", "videos": [{}, {}]}


def test_units_and_videos_are_counted(stats: FakeStats) -> None:
    cost.count(context_of(FakeTaskInstance()), SUMMARY, model="kling-v2-6")
    cost.count(context_of(FakeTaskInstance()), SUMMARY | {"units": "3"}, model="m")
    cost.count(context_of(FakeTaskInstance()), SUMMARY | {"units": None}, model="m")
    tags, other = ({"dag_id": "dag", "model": model} for model in ("kling-v2-6", "m"))
    assert stats.counted == [
        ("kling.videos", 2, tags),
        ("kling.units", 1.5, tags),
        ("kling.videos", 2, other),
        ("kling.units", 3, other),
        ("kling.videos", 2, other),
    ]


def test_a_file_that_was_there_was_counted_when_it_came(stats: FakeStats) -> None:
    cost.count(context_of(FakeTaskInstance()), SUMMARY, model="m", already_landed=True)
    assert stats.counted == []


@pytest.mark.skipif(
    not version_compat.has_retry_policies(), reason="the task state store came with Airflow 3.3"
)
def test_a_clear_that_finds_its_video_is_not_counted_again(stats: FakeStats) -> None:
    store = FakeStateStore()
    for _ in range(2):
        cost.count(context_of(FakeTaskInstance(), store), SUMMARY, model="m")
    assert len(stats.counted) == 2
    cost.count(context_of(FakeTaskInstance(), store), SUMMARY | {"task_id": "901"}, model="m")
    assert len(stats.counted) == 4


def test_a_metric_is_never_worth_a_video(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(version_compat, "stats", lambda: 1 / 0)
    cost.count(context_of(FakeTaskInstance()), SUMMARY, model="m")
    assert "going on" in caplog.text


def test_airflows_own_metrics_take_ours() -> None:
    version_compat.stats().incr("kling.units", 1.5, tags={"dag_id": "dag", "model": "kling-v2-6"})
