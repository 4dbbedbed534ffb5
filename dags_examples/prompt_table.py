"""### A table of prompts, one video each

`table` reads the rows, `make_video` is mapped over them (one box in the grid, with a task instance in it for
each row, which has its own retries and its own result), `report` collects what came out. All of them wait
deferred at the same time.

Run it with other rows: `{"prompts": [{"prompt": "A fox in the snow", "aspect_ratio": "1:1"}]}`.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_kling.operators.text2video import KlingText2VideoOperator

#: A row may set any argument of the operator. In real life: a query, a sheet, a file.
PROMPTS = [
    {"prompt": "A fox crossing a frozen lake at sunrise", "aspect_ratio": "16:9"},
    {"prompt": "A lighthouse in a storm, waves breaking", "aspect_ratio": "9:16"},
    {"prompt": "A paper boat drifting down a rainy street", "aspect_ratio": "1:1"},
]


@task
def table(params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Give the operator's arguments, row by row. Airflow fills in ``params``."""
    # Defaults stand here: what is given to partial() below, no row could change.
    return [{"duration": 5, **row} for row in (params or {})["prompts"]]


@task
def report(clips: list[dict[str, Any]]) -> dict[str, str]:
    """Prompt by prompt is in the task instances; here is the sum of it: task id -> address of the video."""
    return {clip["task_id"]: clip["videos"][0]["url"] for clip in clips}


with DAG(
    dag_id="kling_prompt_table",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    # With its type, the form in Airflow's UI offers the rows as JSON to edit.
    params={"prompts": Param(PROMPTS, type="array", items={"type": "object", "required": ["prompt"]})},
    tags=["kling", "example"],
    doc_md=__doc__,
) as dag:
    make_video = KlingText2VideoOperator.partial(
        task_id="make_video",
        deferrable=True,
        retries=2,
        retry_delay=timedelta(seconds=30),
        # In the list of task instances each row is called by its prompt, not by its number.
        map_index_template="{{ task.prompt }}",
    ).expand_kwargs(table())
    report(make_video.output)
