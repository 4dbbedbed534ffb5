"""A clip lands in a real Airflow, and the scheduler starts the next DAG from its asset event."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from demo.airflow_api import Run
from demo.processes import wait_for
from tests.system.conftest import System

pytestmark = pytest.mark.system


def test_a_landed_clip_starts_the_dag_that_is_scheduled_by_it(system: System, tmp_path: Path) -> None:
    api = system.airflow
    for dag_id in ("kling_land_clip", "kling_use_clip"):
        api.wait_for_dag(dag_id)
    # A paused DAG misses the event for good.
    api.call("PATCH", "/dags/kling_use_clip", json={"is_paused": False})
    folder = tmp_path / "clips"
    run = api.trigger_dag("kling_land_clip", {"output_path": str(folder), "object_storage_conn_id": ""})
    api.wait_for_state(run, "make_and_land", ["deferred"])
    assert list(folder.rglob("*.mp4")) == []
    assert api.wait_for_run(run) == "success"
    result = api.xcom(run, "make_and_land")
    (video,) = result["videos"]
    (file,) = folder.rglob("*.mp4")
    assert str(file) == video["path"]
    assert hashlib.sha256(file.read_bytes()).hexdigest() == video["sha256"]

    def started() -> Any:
        runs = api.call("GET", "/dags/kling_use_clip/dagRuns")["dag_runs"]
        return runs or None

    (after,) = wait_for(started, "the DAG that is scheduled by the asset", 60)
    use = Run("kling_use_clip", after["dag_run_id"])
    assert api.wait_for_run(use) == "success"
    (clip,) = api.xcom(use, "check")
    assert (clip["path"], clip["sha256"], clip["units"]) == (video["path"], video["sha256"], "1.5")
    assert clip["task_id"] == result["task_id"]
    shown = system.database_dump()
    assert system.emulator.api_key not in shown
