"""The operator with ``output_path``: the video on the team's storage, the bill known, Airflow told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    Asset,
    TaskDeferred,
)

from airflow_provider_kling.operators.download import KlingDownloadOperator
from airflow_provider_kling.operators.text2video import KlingText2VideoOperator
from airflow_provider_kling.version_compat import has_retry_policies
from tests.emulator_fixtures import Served
from tests.fakes import FakeTaskInstance, context_of
from tests.operators.running import bought, make, posts, resume
from tests.test_assets import outlet_events

pytestmark = pytest.mark.usefixtures("fast")


def video_requests(kling: Served) -> int:
    return int(kling.emulator.ledger()["requests"].get("GET /videos/{id}", 0))


@pytest.mark.parametrize("deferrable", [False, True])
def test_the_video_lands_whichever_way_it_is_waited_for(
    kling: Served, ti: FakeTaskInstance, tmp_path: Path, deferrable: bool
) -> None:
    kling.emulator.settings.progress, kling.emulator.settings.looks = "looks", 2
    asset = Asset("s3://clips/fox")
    arguments = {"output_path": str(tmp_path), "outlets": [asset], "deferrable": deferrable}
    context = context_of(ti) | {"outlet_events": outlet_events()}
    if deferrable:
        with pytest.raises(TaskDeferred) as deferred:
            make(**arguments).execute(context)
        assert list(tmp_path.iterdir()) == []
        operator = make(**arguments)
        operator.execute_complete(context, deferred_event(deferred.value))
        result = ti.xcoms["kling_task"]
    else:
        operator = make(**arguments)
        result = operator.execute(context)
    (video,) = result["videos"]
    assert set(video) == {"id", "url", "watermark_url", "duration", "path", "bytes", "sha256"}
    assert Path(video["path"]) == tmp_path / f"{result['task_id']}.mp4"
    assert Path(video["path"]).stat().st_size == video["bytes"]
    assert ti.xcoms["kling_task"] == result
    extra = context["outlet_events"][asset].extra
    assert (extra["model"], extra["mode"], extra["units"]) == ("kling-v2-6", "std", "1.5")
    assert (extra["path"], extra["sha256"]) == (video["path"], video["sha256"])
    assert "fox" not in json.dumps({k: v for k, v in extra.items() if k != "path"})
    # Shown as a rendered field at the end, also by the operator that only resumed.
    assert operator.model_name == "kling-v2-6"
    assert bought(kling) == 1


def deferred_event(deferred: TaskDeferred) -> Any:
    from tests.operators.running import fired

    return json.loads(json.dumps(fired(deferred.trigger)))


def test_the_prompt_is_in_the_event_only_on_request(
    kling: Served, ti: FakeTaskInstance, tmp_path: Path
) -> None:
    asset = Asset("s3://clips/fox")
    context = context_of(ti) | {"outlet_events": outlet_events()}
    make(output_path=str(tmp_path), outlets=[asset], asset_extra_prompt=True).execute(context)
    assert context["outlet_events"][asset].extra["prompt"] == "A fox crossing a frozen lake"


@pytest.mark.parametrize(
    "arguments",
    [
        {"output_path": "/data/../etc"},
        {"output_path": "/data//clips"},
        {"output_path": "s3://bucket/None/"},
        {"output_path": ""},
        {"output_path": "/proc/nowhere/clips"},
        {"output_path": "s3://nowhere/clips", "object_storage_conn_id": "nowhere"},
        {"output_path": "nonsense://clips"},
        {"output_path": "/tmp", "output_watermark": True},
        {"max_units": 1},
        {"max_units": "lots"},
        {"max_units": 100, "model_name": "kling-v9"},
    ],
    ids=str,
)
def test_what_can_not_be_landed_or_paid_is_not_bought(
    kling: Served, ti: FakeTaskInstance, arguments: dict[str, Any]
) -> None:
    with pytest.raises(AirflowFailException, match="Nothing was bought"):
        make(**arguments).execute(context_of(ti))
    assert (bought(kling), posts(kling)) == (0, 0)


def test_a_limit_that_is_kept_buys(kling: Served, ti: FakeTaskInstance) -> None:
    assert make(max_units="1.5").execute(context_of(ti))["units"] == "1.5"


def test_a_limit_that_is_lowered_later_does_not_stand_before_what_was_bought(
    kling: Served, ti: FakeTaskInstance
) -> None:
    first = make(max_units=2).execute(context_of(ti))
    assert make(max_units=1).execute(context_of(ti.again()))["task_id"] == first["task_id"]
    assert (bought(kling), posts(kling)) == (1, 1)


def test_a_later_try_that_can_not_land_does_not_claim_that_nothing_was_ever_bought(
    kling: Served, ti: FakeTaskInstance, tmp_path: Path
) -> None:
    make(output_path=str(tmp_path)).execute(context_of(ti))
    with pytest.raises(AirflowFailException, match="if an earlier one bought a video, it is not lost"):
        make(output_path="/proc/nowhere").execute(context_of(ti.again()))
    assert bought(kling) == 1


def test_a_retry_after_a_failed_landing_lands_the_same_video(
    kling: Served, ti: FakeTaskInstance, tmp_path: Path
) -> None:
    kling.emulator.faults.add("GET", "video", "drop", times=5)
    with pytest.raises(AirflowException, match="nothing is bought again") as error:
        make(output_path=str(tmp_path)).execute(context_of(ti))
    assert not isinstance(error.value, AirflowFailException)
    assert ti.xcoms["kling_task"]["videos"][0]["url"]
    assert list(tmp_path.iterdir()) == []
    result = make(output_path=str(tmp_path)).execute(context_of(ti.again()))
    assert Path(result["videos"][0]["path"]).exists()
    assert (bought(kling), posts(kling)) == (1, 1)


def test_a_clear_finds_file_and_video_and_does_nothing(
    kling: Served, ti: FakeTaskInstance, tmp_path: Path
) -> None:
    first = make(output_path=str(tmp_path)).execute(context_of(ti))
    again = make(output_path=str(tmp_path)).execute(context_of(ti.again(cleared=True)))
    assert again["videos"] == first["videos"]
    assert (bought(kling), video_requests(kling)) == (1, 1)


def test_an_address_that_expired_while_the_task_waited_for_a_worker_is_asked_for_afresh(
    kling: Served, ti: FakeTaskInstance, tmp_path: Path
) -> None:
    kling.emulator.settings.progress, kling.emulator.settings.looks = "looks", 2
    kling.emulator.settings.url_lifetime = -1.0
    with pytest.raises(TaskDeferred) as deferred:
        make(deferrable=True).execute(context_of(ti))
    event = deferred_event(deferred.value)
    kling.emulator.settings.url_lifetime = 60.0
    result = make(output_path=str(tmp_path)).execute_complete(context_of(ti), event)
    assert Path(result["videos"][0]["path"]).exists()


def test_without_an_output_path_the_video_stays_with_kling(kling: Served, ti: FakeTaskInstance) -> None:
    kling.emulator.settings.progress, kling.emulator.settings.looks = "looks", 2
    with pytest.raises(TaskDeferred) as deferred:
        make(deferrable=True).execute(context_of(ti))
    assert "path" not in resume(deferred.value, ti)["videos"][0]
    assert video_requests(kling) == 0


def test_a_finished_task_names_its_files_to_openlineage(
    kling: Served, ti: FakeTaskInstance, tmp_path: Path
) -> None:
    pytest.importorskip("airflow.providers.openlineage")
    operator = make(output_path=str(tmp_path))
    assert operator.get_openlineage_facets_on_complete(None) is None
    result = operator.execute(context_of(ti))
    (output,) = operator.get_openlineage_facets_on_complete(None).outputs
    assert output.name == result["videos"][0]["path"]


@pytest.mark.parametrize(
    "arguments", [{"overwrite": "maybe"}, {"output_path": "/data", "wait_for_completion": False}]
)
def test_arguments_that_make_no_sense_fail_when_the_dag_is_parsed(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        make(**arguments)


OPERATORS = [
    (KlingText2VideoOperator, {"prompt": "A fox"}),
    (KlingDownloadOperator, {"task": "900", "output_path": "/data"}),
]


@pytest.mark.skipif(not has_retry_policies(), reason="retry policies came with Airflow 3.3")
@pytest.mark.parametrize(("operator", "arguments"), OPERATORS)
def test_the_retry_policy_is_set_where_the_author_set_none(
    operator: type[Any], arguments: dict[str, Any]
) -> None:
    from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy

    from airflow_provider_kling.retry_policy import KlingRetryPolicy

    own = ExceptionRetryPolicy(rules=[])
    assert isinstance(operator(task_id="make", **arguments).retry_policy, KlingRetryPolicy)
    assert operator(task_id="make", retry_policy=own, **arguments).retry_policy is own
    by_default = operator(task_id="make", default_args={"retry_policy": own}, **arguments)
    assert by_default.retry_policy is own


@pytest.mark.skipif(not has_retry_policies(), reason="retry policies came with Airflow 3.3")
def test_airflows_task_runner_asks_the_policy(kling: Served, ti: FakeTaskInstance) -> None:
    from types import SimpleNamespace

    import structlog
    from airflow.sdk.definitions.retry_policy import RetryAction
    from airflow.sdk.execution_time.task_runner import _evaluate_retry_policy

    kling.emulator.faults.add("POST", "create", {"kind": "kling", "code": 1302, "retry_after": 9}, times=None)
    operator = make()
    with pytest.raises(AirflowException) as error:
        operator.execute(context_of(ti))
    runtime: Any = SimpleNamespace(task=operator, _ti_context_from_server=None, try_number=1)
    decision = _evaluate_retry_policy(runtime, error.value, structlog.get_logger())
    assert decision is not None
    assert decision.action is RetryAction.RETRY
    assert decision.retry_delay is not None
    assert decision.retry_delay.total_seconds() == 9
