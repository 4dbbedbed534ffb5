"""The button on the task page, as Airflow computes it: from an XCom, on a new operator."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_kling import links
from airflow_provider_kling.operators.download import KlingDownloadOperator
from airflow_provider_kling.operators.text2video import KlingText2VideoOperator
from airflow_provider_kling.sensors.task import KlingTaskSensor


class FakeXCom:
    value: Any = None

    @classmethod
    def get_value(cls, *, key: str, ti_key: Any) -> Any:
        assert key == "kling_task"
        return cls.value


@pytest.mark.parametrize(
    ("stored", "link"),
    [
        (None, ""),
        ("not ours", ""),
        ({"videos": []}, ""),
        ({"videos": None}, ""),
        ({"videos": [{"url": "http://127.0.0.1/v.mp4"}, {"url": "other"}]}, "http://127.0.0.1/v.mp4"),
        ({"videos": [{"url": "http://127.0.0.1/v.mp4", "path": "s3://a/b.mp4"}]}, "http://127.0.0.1/v.mp4"),
        ({"videos": [{"url": "http://a/v.mp4", "path": "https://b/v.mp4"}]}, "https://b/v.mp4"),
        ({"videos": [{"url": "http://a/v"}], "expires_at": "2020-01-01T00:00:00+00:00"}, ""),
        ({"videos": [{"url": "http://a/v"}], "expires_at": "2999-01-01T00:00:00+00:00"}, "http://a/v"),
        ({"videos": [{"url": "http://a/v"}], "expires_at": "nonsense"}, "http://a/v"),
        ({"videos": [{"url": "HTTPS://a/v"}]}, "HTTPS://a/v"),
        ({"videos": [{"url": "javascript:alert(1)"}]}, ""),
        ({"videos": [{"url": "data:text/html,x", "path": "javascript:alert(1)"}]}, ""),
        ({"videos": [{"url": None}]}, ""),
    ],
)
@pytest.mark.parametrize(
    "operator",
    [
        KlingText2VideoOperator(task_id="make", prompt="x"),
        KlingTaskSensor(task_id="wait", kling_task_id="1"),
        KlingDownloadOperator(task_id="land", task="1", output_path="/data"),
    ],
)
def test_the_link_is_the_first_video_once_there_is_one(
    monkeypatch: pytest.MonkeyPatch, operator: Any, stored: Any, link: str
) -> None:
    monkeypatch.setattr(links, "XCom", FakeXCom)
    monkeypatch.setattr(FakeXCom, "value", stored)
    (found,) = operator.operator_extra_links
    assert found.name == "Kling video"
    assert found.get_link(operator, ti_key=None) == link


class NoXCom:
    @classmethod
    def get_value(cls, *, key: str, ti_key: Any) -> Any:
        raise AssertionError("Airflow would log an error: XCom not found")


@pytest.mark.parametrize(
    "operator",
    [
        KlingText2VideoOperator(task_id="make", prompt="x", kling_conn_id="nowhere"),
        KlingText2VideoOperator(task_id="make", prompt="x", kling_conn_id="nowhere", deferrable=True),
        KlingTaskSensor(task_id="wait", kling_task_id="1", kling_conn_id="nowhere"),
        KlingDownloadOperator(task_id="land", task="", output_path="/data/../x"),
    ],
)
def test_no_xcom_is_read_after_a_phase_that_failed_before_there_was_one(
    monkeypatch: pytest.MonkeyPatch, operator: Any, context: dict[str, Any]
) -> None:
    monkeypatch.setattr(links, "XCom", NoXCom)
    for phase in ("execute", "execute_resubmit"):
        if hasattr(operator, phase):
            with pytest.raises(AirflowException):
                getattr(operator, phase)(context)
            assert operator.operator_extra_links[0].get_link(operator, ti_key=None) == ""


def test_no_xcom_is_read_for_a_sensor_whose_wait_was_in_vain(
    monkeypatch: pytest.MonkeyPatch, context: dict[str, Any]
) -> None:
    monkeypatch.setattr(links, "XCom", NoXCom)
    sensor = KlingTaskSensor(task_id="wait", kling_task_id="1")
    with pytest.raises(AirflowException):
        sensor.execute_complete(context, {"version": 1, "outcome": "timeout", "message": "late"})
    assert links.KlingVideoLink().get_link(sensor, ti_key=None) == ""


def test_what_was_pushed_is_read_also_when_nothing_was_there_at_first(
    monkeypatch: pytest.MonkeyPatch, context: dict[str, Any]
) -> None:
    operator = KlingText2VideoOperator(task_id="make", prompt="x")
    links.nothing_pushed_yet(operator)
    links.push_task(operator, context, {"videos": [{"url": "http://a/v"}]})
    monkeypatch.setattr(links, "XCom", FakeXCom)
    monkeypatch.setattr(FakeXCom, "value", context["ti"].xcoms["kling_task"])
    assert links.KlingVideoLink().get_link(operator, ti_key=None) == "http://a/v"
