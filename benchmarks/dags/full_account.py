"""The same videos, more than the account can make at once: with this package, and with the HTTP provider."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import Any

from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.http.sensors.http import HttpSensor
from airflow.sdk import dag, task_group

from airflow_provider_kling.operators.text2video import KlingText2VideoOperator
from benchmarks.peers import is_ended

PROMPTS = [f"A fox, take {number}" for number in range(int(os.environ["BENCH_VIDEOS"]))]
INTERVAL = float(os.environ["BENCH_INTERVAL"])


@dag(schedule=None)
def ours() -> None:
    """A full account is a queue; nothing is configured for it."""
    KlingText2VideoOperator.partial(
        task_id="video", deferrable=True, poll_interval=INTERVAL, retries=2, retry_delay=timedelta(seconds=10)
    ).expand(prompt=PROMPTS)


def bodies() -> list[str]:
    """The requests, as JSON."""
    return [json.dumps({"model_name": "kling-v2-6", "prompt": prompt}) for prompt in PROMPTS]


def id_of(response: Any) -> str:
    """Kling's id of the task."""
    return str(response.json()["data"]["task_id"])


@dag(schedule=None)
def peer() -> None:
    """A pool of as many slots as the account has holds the submissions back; what it lets through is retried.

    ``weight_rule`` has sensors go before submissions, without which they would starve in the pool. Sensors
    are retried too: Airflow fails one now and then that comes back before its last look has been booked.
    """

    @task_group
    def video(body: str) -> None:
        common: dict[str, Any] = {
            "http_conn_id": "kling_http",
            "pool": "kling",
            "weight_rule": "upstream",
            "retries": 100,
            "retry_delay": timedelta(seconds=10),
        }
        submit = HttpOperator(
            task_id="submit",
            method="POST",
            endpoint="v1/videos/text2video",
            data=body,
            response_filter=id_of,
            **common,
        )
        wait = HttpSensor(
            task_id="wait",
            method="GET",
            endpoint="v1/videos/text2video/{{ ti.xcom_pull('video.submit', map_indexes=ti.map_index) }}",
            response_check=is_ended,
            mode="reschedule",
            poke_interval=INTERVAL,
            **common,
        )
        submit >> wait

    video.expand(body=bodies())


ours()
peer()
