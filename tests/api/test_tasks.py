"""The summary that XComs and events carry: plain, small, read back the same, and never guessed at."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.api.tasks import GenerationTask, TaskStatus, Video

DONE = GenerationTask(
    task_id="900000000000000001",
    kind=TaskKind.TEXT2VIDEO,
    status=TaskStatus.SUCCEEDED,
    external_task_id="af-1-0",
    videos=(Video("b1", "https://c/v.mp4", "https://c/w.mp4", 5.041),),
    units=Decimal("1.5"),
    created_at=datetime(2026, 9, 21, 14, 13, 20, 123000, timezone.utc),
    updated_at=datetime(2026, 9, 21, 14, 14, 50, tzinfo=timezone.utc),
)
SUMMARY = {
    "schema": 1,
    "kind": "text2video",
    "task_id": "900000000000000001",
    "external_task_id": "af-1-0",
    "status": "succeeded",
    "status_message": "",
    "videos": [{"id": "b1", "url": "https://c/v.mp4", "watermark_url": "https://c/w.mp4", "duration": 5.041}],
    "units": "1.5",
    "created_at": "2026-09-21T14:13:20.123000+00:00",
    "updated_at": "2026-09-21T14:14:50+00:00",
    "expires_at": "2026-10-21T14:13:20.123000+00:00",
}


def test_the_summary_is_the_contract() -> None:
    assert DONE.summary() == SUMMARY
    assert list(DONE.summary()) == list(SUMMARY)


def test_what_is_not_known_is_none() -> None:
    bare = GenerationTask("1", TaskKind.LIP_SYNC, TaskStatus.SUBMITTED).summary()
    unknown = {key: bare[key] for key in ("units", "created_at", "updated_at", "expires_at")}
    assert unknown == dict.fromkeys(unknown)
    assert bare["videos"] == []
    assert bare["external_task_id"] == ""


TIMES = st.none() | st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1), timezones=st.just(timezone.utc))
TASKS = st.builds(
    GenerationTask,
    task_id=st.text(max_size=9),
    kind=st.sampled_from(TaskKind),
    status=st.sampled_from(TaskStatus),
    status_message=st.text(max_size=9),
    external_task_id=st.text(max_size=9),
    videos=st.lists(
        st.builds(Video, st.text(), st.text(), st.text(), st.none() | st.floats(0, 1e6)), max_size=2
    ).map(tuple),
    units=st.none() | st.decimals(0, 10_000, allow_nan=False),
    created_at=TIMES,
    updated_at=TIMES,
)


@settings(max_examples=100)
@given(TASKS)
def test_a_summary_is_read_back_the_same_also_through_json(task: GenerationTask) -> None:
    assert GenerationTask.from_summary(json.loads(json.dumps(task.summary()))) == task


@pytest.mark.parametrize(
    "changed",
    [
        {"schema": 2},
        {"schema": None},
        {"status": "paused"},
        {"kind": "text2opera"},
        {"videos": None},
        {"videos": [5]},
        {"videos": [{"url": "x"}]},
        {"videos": [{"id": "1", "url": "x", "size": 3}]},
        {"units": "much"},
        {"units": [1]},
        {"created_at": "yesterday"},
        {"updated_at": 5},
    ],
)
def test_a_summary_of_another_version_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a task summary of schema 1"):
        GenerationTask.from_summary(SUMMARY | changed)


@pytest.mark.parametrize("field", [f for f in SUMMARY if f not in ("expires_at",)])
def test_a_summary_that_lacks_a_field_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match="not a task summary of schema 1"):
        GenerationTask.from_summary({key: value for key, value in SUMMARY.items() if key != field})


@pytest.mark.parametrize("other", [None, [], "x", 1, {}])
def test_what_is_no_summary_is_refused(other: Any) -> None:
    with pytest.raises(ValueError, match="not a task summary of schema 1"):
        GenerationTask.from_summary(other)


@pytest.mark.parametrize("status", TaskStatus)
def test_two_statuses_are_final(status: TaskStatus) -> None:
    ended = GenerationTask("1", TaskKind.TEXT2VIDEO, status).ended
    assert ended == (status.value in ("succeeded", "failed"))


def test_a_line_for_the_log_says_how_long_it_took_to_get_there() -> None:
    made = datetime(2026, 11, 1, tzinfo=timezone.utc)
    task = GenerationTask("900", TaskKind.TEXT2VIDEO, TaskStatus.PROCESSING)
    assert task.described() == "Kling task 900: processing."
    aged = replace(task, created_at=made, updated_at=made + timedelta(seconds=83.4))
    assert aged.described() == "Kling task 900: processing, 83 s after it was ordered."
    # Two clocks at the service need not agree.
    early = replace(aged, updated_at=made - timedelta(seconds=1))
    assert early.described() == "Kling task 900: processing, 0 s after it was ordered."
    assert replace(aged, status=TaskStatus.SUCCEEDED).described() == "Kling task 900: succeeded after 83 s."
    assert replace(aged, status=TaskStatus.FAILED).described() == "Kling task 900: failed after 83 s."
    assert replace(aged, status=TaskStatus.SUBMITTED).described() == "Kling task 900: submitted."


def test_a_summary_of_a_landed_video_reads_back() -> None:
    task = GenerationTask(
        "900", TaskKind.TEXT2VIDEO, TaskStatus.SUCCEEDED, videos=(Video("v", "https://x/v"),)
    )
    summary = task.summary()
    summary["videos"][0] |= {"path": "/clips/900.mp4", "bytes": 1, "sha256": "aa"}
    assert GenerationTask.from_summary(summary) == task
