"""The operator with ``output_path``: the video on the team's storage, the bill known, Airflow told."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    Asset,
    AssetAlias,
    TaskDeferred,
)

from airflow_provider_kling.operators.download import KlingDownloadOperator
from airflow_provider_kling.operators.text2video import KlingText2VideoOperator
from airflow_provider_kling.version_compat import has_retry_policies
from tests.emulator_fixtures import Served
from tests.fakes import FakeStateStore, FakeTaskInstance, context_of
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


@pytest.mark.parametrize(
    "other",
    [
        {"run_id": "tomorrow"},
        {"task_id": "make_another"},
        {"map_index": 1},
        {"dag_id": "another"},
    ],
    ids=str,
)
def test_a_name_that_another_s_video_has_buys_nothing(
    kling: Served, ti: FakeTaskInstance, tmp_path: Path, other: dict[str, Any]
) -> None:
    path = str(tmp_path / "latest.mp4")
    first = make(output_path=path).execute(context_of(ti))
    with pytest.raises(
        AirflowFailException, match="there is a file at .*latest.mp4 already. Nothing was bought"
    ):
        make(output_path=path).execute(context_of(FakeTaskInstance(**other)))
    assert (bought(kling), posts(kling)) == (1, 1)
    # It stands in nobody's way who finds it: a retry and a clear adopt, and land what is landed.
    for again in (ti.again(), ti.again(cleared=True)):
        assert make(output_path=path).execute(context_of(again))["videos"] == first["videos"]
    assert (bought(kling), video_requests(kling)) == (1, 1)


def test_of_mapped_tasks_with_one_name_only_the_first_buys(kling: Served, tmp_path: Path) -> None:
    path, bills = str(tmp_path / "fox.mp4"), []
    for index in range(4):
        with contextlib.suppress(AirflowFailException):
            make(output_path=path, prompt=f"Fox {index}").execute(
                context_of(FakeTaskInstance(map_index=index))
            )
        bills.append(bought(kling))
    assert bills == [1, 1, 1, 1]


@pytest.mark.parametrize(("changed", "cleared"), [({"take": "2"}, False), ({"on_clear": "regenerate"}, True)])
def test_another_take_needs_another_name_or_leave_to_replace(
    kling: Served, ti: FakeTaskInstance, tmp_path: Path, changed: dict[str, Any], cleared: bool
) -> None:
    path = str(tmp_path / "fox.mp4")
    first = make(output_path=path, **(changed if cleared else {})).execute(context_of(ti))
    again = ti.again(cleared=cleared)
    with pytest.raises(AirflowFailException, match="Nothing was bought; choose another name, or overwrite="):
        make(output_path=path, **changed).execute(context_of(again))
    assert bought(kling) == 1
    second = make(output_path=path, overwrite="replace", **changed).execute(context_of(again))
    assert second["task_id"] != first["task_id"]
    assert second["videos"][0]["sha256"] == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert bought(kling) == 2


def test_with_skip_a_file_that_is_there_skips_the_task_and_buys_nothing(
    kling: Served, ti: FakeTaskInstance, tmp_path: Path
) -> None:
    path = tmp_path / "fox.mp4"
    path.write_bytes(b"mine")
    with pytest.raises(
        AirflowSkipException, match="fox.mp4 already.*Nothing was bought, the task is skipped"
    ):
        make(output_path=str(path), overwrite="skip").execute(context_of(ti))
    assert (bought(kling), posts(kling), path.read_bytes()) == (0, 0, b"mine")
    path.unlink()
    first = make(output_path=str(path), overwrite="skip").execute(context_of(ti))
    assert "kept" not in first["videos"][0]
    # What this task instance landed itself is its result, not a reason to skip.
    again = make(output_path=str(path), overwrite="skip").execute(context_of(ti.again(cleared=True)))
    assert again["videos"] == first["videos"]
    assert bought(kling) == 1


@pytest.mark.skipif(not has_retry_policies(), reason="the task state store came with Airflow 3.3")
def test_a_task_that_is_skipped_leaves_no_word_of_an_order_behind(
    emulator_server: Served, connect: Any, ti: FakeTaskInstance, tmp_path: Path
) -> None:
    # A relay that promises nothing about external ids: there an order is announced before it is sent.
    connect(host=emulator_server.url, password="emulator-key")
    path, store = tmp_path / "fox.mp4", FakeStateStore()
    path.write_bytes(b"mine")
    with pytest.raises(AirflowSkipException):
        make(output_path=str(path), overwrite="skip").execute(context_of(ti, store))
    assert store.values == {}


def test_a_file_that_is_only_found_after_the_purchase_is_kept_and_told_as_such(
    kling: Served, ti: FakeTaskInstance, tmp_path: Path
) -> None:
    kling.emulator.settings.progress, kling.emulator.settings.looks = "looks", 2
    asset, alias = Asset("s3://clips/fox"), AssetAlias("clips")
    arguments = {"output_path": str(tmp_path), "overwrite": "skip", "outlets": [asset, alias]}
    with pytest.raises(TaskDeferred) as deferred:
        make(deferrable=True, **arguments).execute(context_of(ti))
    mine = tmp_path / f"{ti.xcoms['kling_task']['task_id']}.mp4"
    mine.write_bytes(b"mine")
    context = context_of(ti) | {"outlet_events": outlet_events()}
    operator = make(**arguments)
    (video,) = operator.execute_complete(context, deferred_event(deferred.value))["videos"]
    assert (video["kept"], video["sha256"]) == (True, hashlib.sha256(b"mine").hexdigest())
    assert len(context["outlet_events"]) == 0
    assert operator.get_openlineage_facets_on_complete(None) is None
    assert mine.read_bytes() == b"mine"


@pytest.mark.parametrize(
    "arguments",
    [
        {"output_path": "/data/../etc"},
        {"output_path": "memory://clips/", "object_storage_conn_id": "gone"},
        {"output_path": "nonsense://clips"},
        {"output_path": "/tmp", "output_watermark": True},
        {"output_path": "/tmp", "kling_conn_id": "gone"},
    ],
    ids=str,
)
def test_once_there_is_a_video_no_error_says_that_nothing_was_bought_or_ends_the_retries(
    kling: Served, ti: FakeTaskInstance, arguments: dict[str, Any]
) -> None:
    kling.emulator.settings.progress, kling.emulator.settings.looks = "looks", 2
    with pytest.raises(TaskDeferred) as deferred:
        make(deferrable=True).execute(context_of(ti))
    with pytest.raises(
        AirflowException, match="Kling keeps it until .* a retry or a clear lands it"
    ) as error:
        make(**arguments).execute_complete(context_of(ti), deferred_event(deferred.value))
    assert not isinstance(error.value, AirflowFailException)
    assert "Nothing was bought" not in str(error.value)


def test_a_signature_in_an_address_is_not_logged(
    kling: Served, ti: FakeTaskInstance, tmp_path: Path, logged: Callable[[], str]
) -> None:
    kling.emulator.settings.url_lifetime = 60.0
    (video,) = make(output_path=str(tmp_path)).execute(context_of(ti))["videos"]
    address, _, signature = video["url"].partition("?")
    assert signature
    said = logged()
    assert f"Made by task {ti.xcoms['kling_task']['task_id']}: {address}" in said
    assert signature not in said


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
