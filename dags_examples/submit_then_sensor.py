"""### Order first, do other work, then wait

`submit` returns as soon as Kling has accepted the task. `write_caption` runs while the video is being made.
The sensor waits for the video, deferred, and gives the same result as the operator would have.

A sensor never orders anything: clearing or retrying it is free.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_kling.operators.text2video import KlingText2VideoOperator
from airflow_provider_kling.sensors.task import KlingTaskSensor


@task
def write_caption(params: dict[str, Any] | None = None) -> str:
    """Stand-in for whatever can be done meanwhile."""
    return f"{(params or {})['subject'].capitalize()}. Made with Kling."


@task
def publish(clip: dict[str, Any], caption: str) -> str:
    """Put both together."""
    return f"{caption} {clip['videos'][0]['url']}"


with DAG(
    dag_id="kling_submit_then_sensor",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    params={"subject": "a hot-air balloon over vineyards"},
    tags=["kling", "example"],
    doc_md=__doc__,
) as dag:
    submit = KlingText2VideoOperator(
        task_id="submit",
        prompt="{{ params.subject }}, wide shot, early morning mist",
        wait_for_completion=False,
    )
    wait_for_video = KlingTaskSensor(
        task_id="wait_for_video",
        # Not submit.output["task_id"]: that means an XCom with this key, and the id is in the result's dict.
        kling_task_id="{{ ti.xcom_pull('submit')['task_id'] }}",
        kind="text2video",
        deferrable=True,
        poke_interval=10,
        timeout=timedelta(hours=1).total_seconds(),
    )
    submit >> wait_for_video
    caption = write_caption()
    # Only so that the caption is written *while* the video is made, which is what this example shows.
    submit >> caption
    publish(wait_for_video.output, caption)
