"""Landing as an operator of its own: for videos that were made elsewhere, or yesterday."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    Asset,
    AssetAlias,
)

from airflow_provider_kling.hooks.kling import KlingHook
from airflow_provider_kling.operators.download import KlingDownloadOperator
from tests.emulator_fixtures import Served
from tests.fakes import FakeTaskInstance, context_of
from tests.test_assets import outlet_events

pytestmark = pytest.mark.usefixtures("fast")


@pytest.fixture
def kling(emulator_server: Served, connect: Callable[..., None]) -> Served:
    connect(host=emulator_server.url, password="emulator-key")
    return emulator_server


def download(ti: FakeTaskInstance, **arguments: Any) -> dict[str, Any]:
    operator = KlingDownloadOperator(task_id="land", **arguments)
    return operator.execute(context_of(ti))


def summary_of(kling: Served, **body: Any) -> dict[str, Any]:
    return KlingHook().get_task(kling.emulator.add_task("A fox", **body).task_id).summary()


def test_a_task_is_given_as_what_the_operator_returned_or_by_either_id(
    kling: Served, ti: FakeTaskInstance, tmp_path: Path
) -> None:
    made = summary_of(kling, external_task_id="mine-1")
    given = [made, json.dumps(made), str(made), made["task_id"], "mine-1"]
    results = [download(ti, task=task, output_path=str(tmp_path)) for task in given]
    (video,) = results[0]["videos"]
    assert set(video) == {"id", "url", "watermark_url", "duration", "path", "bytes", "sha256"}
    assert Path(video["path"]).stat().st_size == video["bytes"]
    assert [r["videos"][0]["sha256"] for r in results] == [video["sha256"]] * 5
    assert kling.emulator.ledger()["requests"]["GET /videos/{id}"] == 1
    assert ti.xcoms["kling_task"] == results[-1]


def test_what_it_returned_is_itself_a_task_that_can_be_given(
    kling: Served, ti: FakeTaskInstance, tmp_path: Path
) -> None:
    landed = download(ti, task=summary_of(kling), output_path=str(tmp_path / "a"))
    again = download(ti, task=landed, output_path=str(tmp_path / "b"))
    assert again["videos"][0]["path"].startswith(str(tmp_path / "b"))


def test_a_task_that_was_only_submitted_is_looked_up(
    kling: Served, ti: FakeTaskInstance, tmp_path: Path
) -> None:
    kling.emulator.settings.progress, kling.emulator.settings.looks = "looks", 1
    submitted = summary_of(kling)
    assert submitted["videos"] == []
    assert download(ti, task=submitted, output_path=str(tmp_path))["videos"][0]["path"]


def test_a_task_that_is_not_done_is_left_for_a_retry(
    kling: Served, ti: FakeTaskInstance, tmp_path: Path
) -> None:
    kling.emulator.settings.progress, kling.emulator.settings.looks = "looks", 9
    with pytest.raises(AirflowException, match="there is no video yet. Wait for it with") as error:
        download(ti, task=summary_of(kling), output_path=str(tmp_path))
    assert not isinstance(error.value, AirflowFailException)


def test_a_task_that_failed_has_nothing_to_land(kling: Served, ti: FakeTaskInstance, tmp_path: Path) -> None:
    task = kling.emulator.add_task("[fail] a fox")
    with pytest.raises(AirflowException, match="could not make the video"):
        download(ti, task=task.task_id, output_path=str(tmp_path))


@pytest.mark.parametrize("as_id", [True, False])
def test_a_video_of_more_than_thirty_days_ago_says_so(
    kling: Served, ti: FakeTaskInstance, tmp_path: Path, as_id: bool
) -> None:
    made = summary_of(kling)
    kling.emulator.expire()
    with pytest.raises(AirflowFailException, match="30 days") as error:
        download(ti, task=made["task_id"] if as_id else made, output_path=str(tmp_path))
    assert str(error.value).lower().count("retrying will not help") == 1


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("", "task: it is empty"),
        (None, "task: it is empty"),
        ("None", "task: it is empty"),
        ({"schema": 99}, "task: it is neither an id nor"),
        ("{'schema': 99}", "task: it is neither an id nor"),
        (["900"], "task: it is neither an id nor"),
    ],
)
def test_a_task_that_is_none_is_refused(
    kling: Served, ti: FakeTaskInstance, tmp_path: Path, task: Any, says: str
) -> None:
    with pytest.raises(AirflowFailException, match=says):
        download(ti, task=task, output_path=str(tmp_path))


def test_a_bad_path_is_told_before_kling_is_asked(kling: Served, ti: FakeTaskInstance) -> None:
    with pytest.raises(AirflowFailException, match="output_path"):
        download(ti, task="900", output_path="/data/../x")
    assert kling.emulator.ledger()["requests_total"] == 0


def test_outlets_are_told_what_is_known(kling: Served, ti: FakeTaskInstance, tmp_path: Path) -> None:
    asset = Asset("s3://clips/fox")
    events = outlet_events()
    operator = KlingDownloadOperator(
        task_id="land", task=summary_of(kling), output_path=str(tmp_path), outlets=[asset]
    )
    result = operator.execute(context_of(ti) | {"outlet_events": events})
    extra = events[asset].extra
    assert (extra["path"], extra["model"]) == (result["videos"][0]["path"], None)


def test_openlineage_is_told_the_file(kling: Served, ti: FakeTaskInstance, tmp_path: Path) -> None:
    pytest.importorskip("airflow.providers.openlineage", reason="without it nobody listens")
    operator = KlingDownloadOperator(task_id="land", task=summary_of(kling), output_path=str(tmp_path))
    assert operator.get_openlineage_facets_on_complete(None) is None
    result = operator.execute(context_of(ti))
    (output,) = operator.get_openlineage_facets_on_complete(None).outputs
    assert output.name == result["videos"][0]["path"]


def test_a_file_that_was_there_is_kept_and_not_told_as_this_task_s(
    kling: Served, ti: FakeTaskInstance, tmp_path: Path
) -> None:
    (tmp_path / "fox.mp4").write_bytes(b"mine")
    asset, alias, events = Asset("s3://clips/fox"), AssetAlias("clips"), outlet_events()
    operator = KlingDownloadOperator(
        task_id="land",
        task=summary_of(kling),
        output_path=str(tmp_path / "fox.mp4"),
        overwrite="skip",
        outlets=[asset, alias],
    )
    (video,) = operator.execute(context_of(ti) | {"outlet_events": events})["videos"]
    assert (video["kept"], video["bytes"]) == (True, 4)
    assert (tmp_path / "fox.mp4").read_bytes() == b"mine"
    assert len(events) == 0
    assert operator.get_openlineage_facets_on_complete(None) is None


def test_nothing_is_ever_bought(kling: Served, ti: FakeTaskInstance, tmp_path: Path) -> None:
    download(ti, task=summary_of(kling), output_path=str(tmp_path))
    assert not [r for r in kling.emulator.ledger()["requests"] if r.startswith("POST")]
