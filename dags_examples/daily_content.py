"""### One clip a day, from a prompt file

`make_clip` renders `prompts/daily_content.prompt` and has the video made; `publish` gets the result. While
Kling works, the task is *deferred*: it waits in the triggerer and takes no worker.

Needs a connection `kling_default`. Change what is shown by editing the prompt file or the parameter `themes`.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_kling.operators.text2video import KlingText2VideoOperator

#: One for each day of the week, Monday first.
THEMES = [
    "a harbour waking up at dawn",
    "rain on a market street",
    "a train crossing a high viaduct",
    "lanterns over a quiet river",
    "a kite above the dunes",
    "a forest path after snow",
    "bread coming out of an old oven",
]


@task
def publish(clip: dict[str, Any]) -> str:
    """Stand-in for your own last step. Kling keeps the file for 30 days: copy what you want to keep."""
    url = str(clip["videos"][0]["url"])
    print(f"today's clip, {clip['units']} units, until {clip['expires_at']}: {url}")
    return url


with DAG(
    dag_id="kling_daily_content",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    # Past days are not made up for: each would cost a video.
    catchup=False,
    params={"themes": THEMES},
    tags=["kling", "example"],
    doc_md=__doc__,
) as dag:
    make_clip = KlingText2VideoOperator(
        task_id="make_clip",
        # A file, because it ends in .prompt; found beside this DAG file.
        prompt="prompts/daily_content.prompt",
        negative_prompt="text, watermark, distorted faces",
        aspect_ratio="9:16",
        duration=5,
        deferrable=True,
        timeout=timedelta(hours=1),
        # A retry finds the video that was already ordered. It never orders a second one.
        retries=2,
        retry_delay=timedelta(minutes=1),
    )
    publish(make_clip.output)
