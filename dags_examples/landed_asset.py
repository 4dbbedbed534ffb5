"""### A clip lands, and the next DAG starts from it

`kling_land_clip` has a video made and lands it below the folder of the parameter `output_path`, in one of its
own for each run, as `{task_id}.mp4`, with its SHA-256 beside it. That is an event on an asset, and
`kling_use_clip` is scheduled by that asset: once both are unpaused it starts by itself, and the event tells
it which file to take.

Try it with a bucket: `{"output_path": "s3://your-bucket/clips"}`, and in `object_storage_conn_id` the Airflow
connection to it. With several workers, a local folder must be on a drive that they share.

On Airflow 2.11 the asset is a dataset; nothing else differs.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, ObjectStoragePath, task

from airflow_provider_kling.operators.text2video import KlingText2VideoOperator

#: Not the file, which has another name each time, but "our newest clip".
CLIP = Asset("kling://clips/newest")


@task
def check(**context: Any) -> list[dict[str, Any]]:
    """Stand-in for your own next step: read each clip that started this run, and compare its hash."""
    # Airflow 2.11 calls them datasets.
    events = context.get("triggering_asset_events") or context.get("triggering_dataset_events") or {}
    clips = [event.extra for of_asset in events.values() for event in of_asset if "path" in event.extra]
    for clip in clips:
        # A clip in a bucket: ObjectStoragePath(path, conn_id="...").
        content = ObjectStoragePath(clip["path"]).read_bytes()
        if hashlib.sha256(content).hexdigest() != clip["sha256"]:
            raise ValueError(f"{clip['path']} is not what was landed")
        print(f"{clip['path']}: {clip['bytes']:,} bytes, {clip['units']} units, made by {clip['model']}")
    return clips


with DAG(
    dag_id="kling_land_clip",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    params={"output_path": "~/kling_clips", "object_storage_conn_id": ""},
    tags=["kling", "example"],
    doc_md=__doc__,
) as land_clip:
    KlingText2VideoOperator(
        task_id="make_and_land",
        prompt="A paper crane unfolding into a bird, studio light",
        duration=5,
        # Where it can't be written, nothing is bought.
        output_path="{{ params.output_path }}/{{ run_id }}/",
        object_storage_conn_id="{{ params.object_storage_conn_id }}",
        # At most so many units of the account's resource pack.
        max_units=2,
        outlets=[CLIP],
        deferrable=True,
        retries=2,
        retry_delay=timedelta(minutes=1),
    )

with DAG(
    dag_id="kling_use_clip",
    schedule=[CLIP],
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    tags=["kling", "example"],
    doc_md=__doc__,
) as use_clip:
    check()
