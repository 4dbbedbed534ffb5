"""The same kind of video three ways, through a connection that is stored in Airflow's database."""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_kling.operators.text2video import KlingText2VideoOperator
from airflow_provider_kling.sensors.task import KlingTaskSensor

CONNECTION = "kling_stored"

with DAG(dag_id="three_ways", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    KlingText2VideoOperator(
        task_id="in_the_worker",
        kling_conn_id=CONNECTION,
        prompt="Three ways: in the worker, {{ run_id }}",
        deferrable=False,
        poll_interval=0.5,
    )
    KlingText2VideoOperator(
        task_id="deferred",
        kling_conn_id=CONNECTION,
        prompt="Three ways: deferred, {{ run_id }}",
        deferrable=True,
        poll_interval=2,
    )
    submitted = KlingText2VideoOperator(
        task_id="submitted",
        kling_conn_id=CONNECTION,
        prompt="Three ways: submitted, {{ run_id }}",
        wait_for_completion=False,
    )
    submitted >> KlingTaskSensor(
        task_id="sensed",
        kling_conn_id=CONNECTION,
        kling_task_id="{{ ti.xcom_pull('submitted')['task_id'] }}",
        deferrable=False,
        mode="reschedule",
        poke_interval=2,
        timeout=120,
    )
