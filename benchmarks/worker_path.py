"""Figure 6: what one video costs the workers: the submission and the end, above an empty task.

Each phase runs as in a worker: a fresh process, Airflow's task runner (``task_runner.run``), the supervisor's
answers given by a stand-in, no database. The process is measured as a whole, since imports are part of it.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.report import ROOT, Row
from demo.local_emulator import LocalEmulator
from demo.processes import Processes

PHASES = ("empty", "submit", "complete")


def environment(home: Path, **more: str) -> dict[str, str]:
    """Of a process with an Airflow without a database, and nothing from the caller."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "*",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "_AIRFLOW__AS_LIBRARY": "1",
        **more,
    }


class StandIn:
    """The supervisor, for a task that asks for nothing but its memory."""

    def __init__(self) -> None:
        self.store: dict[str, Any] = {}

    def send(self, msg: Any = None, **named: Any) -> Any:
        """Answer a message of the task."""
        from airflow.sdk.exceptions import ErrorType
        from airflow.sdk.execution_time import comms

        msg = msg or named["msg"]
        if isinstance(msg, comms.GetTaskStateStore):
            if msg.key in self.store:
                return comms.TaskStateStoreResult(value=self.store[msg.key])
            return comms.ErrorResponse(error=ErrorType.TASK_STORE_NOT_FOUND, detail={})
        if isinstance(msg, comms.SetTaskStateStore):
            self.store[msg.key] = msg.value
        if isinstance(msg, comms.GetXCom):
            return comms.XComResult(key=msg.key, value=None)
        return comms.OKResponse(ok=True)


def phase(name: str, event: dict[str, Any] | None) -> str:
    """Run one phase in this process; the state it ended in."""
    import structlog
    from airflow.sdk import DAG
    from airflow.sdk.api.datamodels._generated import DagRun, TIRunContext
    from airflow.sdk.execution_time import task_runner

    with DAG("benchmark", schedule=None) as dag:
        if name == "empty":
            from airflow.providers.standard.operators.python import PythonOperator

            PythonOperator(task_id="task", python_callable=lambda: None)
        else:
            from airflow_provider_kling.operators.text2video import KlingText2VideoOperator

            KlingText2VideoOperator(task_id="task", prompt="A fox", deferrable=True)
    now = datetime.now(timezone.utc)
    context = TIRunContext(
        dag_run=DagRun.model_construct(
            dag_id="benchmark",
            run_id=f"run-{uuid.uuid4()}",
            logical_date=None,
            data_interval_start=None,
            data_interval_end=None,
            start_date=now,
            run_after=now,
            run_type="manual",
            state="running",
            clear_number=0,
            conf={},
            consumed_asset_events=[],
            end_date=None,
            partition_key=None,
        ),
        task_reschedule_count=0,
        max_tries=0,
        should_retry=False,
        next_method="execute_complete" if event else None,
        next_kwargs={"event": event} if event else None,
    )
    instance = task_runner.RuntimeTaskInstance.model_construct(
        id=uuid.uuid4(),
        task_id="task",
        dag_id="benchmark",
        run_id=context.dag_run.run_id,
        try_number=1,
        map_index=-1,
        dag_version_id=uuid.uuid4(),
        task=dag.get_task("task"),
        _ti_context_from_server=context,
        start_date=now,
        max_tries=0,
        bundle_instance=mock.MagicMock(),
        is_mapped=False,
    )
    with (
        mock.patch.object(task_runner, "SUPERVISOR_COMMS", StandIn(), create=True),
        # Without a database Airflow finds no folder of plugins, and says so loudly.
        mock.patch("airflow.sdk.plugins_manager._get_plugins", return_value=([], {})),
    ):
        state, _, error = task_runner.run(instance, instance.get_template_context(), structlog.get_logger())
    if error is not None:
        raise error
    return str(state.value)


def ended_event() -> dict[str, Any]:
    """What the trigger fires for a video that is there."""
    from airflow_provider_kling.triggers.task import EVENT_VERSION

    now = "2026-10-01T12:00:00+00:00"
    task = {
        "schema": 1,
        "kind": "text2video",
        "task_id": "900000000000000001",
        "external_task_id": "",
        "status": "succeeded",
        "status_message": "",
        "videos": [{"id": "1", "url": "https://x.invalid/1.mp4", "watermark_url": None, "duration": "5"}],
        "units": "1",
        "created_at": now,
        "updated_at": now,
        "expires_at": now,
    }
    return {"version": EVENT_VERSION, "task_id": task["task_id"], "outcome": "ended", "task": task}


def run(quick: bool) -> list[Row]:
    """Figure 6."""
    rounds = 2 if quick else 5
    used: dict[str, list[tuple[float, float]]] = {name: [] for name in PHASES}
    with (
        tempfile.TemporaryDirectory(prefix="kling-bench-") as folder,
        Processes(Path(folder, "logs")) as processes,
    ):
        emulator = LocalEmulator(processes, concurrency=1000, seconds_per_video=60)
        emulator.start()
        env = environment(Path(folder), AIRFLOW_CONN_KLING_DEFAULT=emulator.connection)
        for number in range(rounds + 1):
            for name in PHASES:
                cost = _cost([sys.executable, "-m", "benchmarks.worker_path", name], env)
                if number:
                    used[name].append(cost)
    # Each round by itself, then the median: what else the machine does changes from round to round.
    both = [
        statistics.median(
            submit[i] + complete[i] - 2 * empty[i]
            for empty, submit, complete in zip(*(used[name] for name in PHASES), strict=True)
        )
        for i in range(2)
    ]
    detail = {"seconds": {name: [list(cost) for cost in costs] for name, costs in used.items()}}
    figure = "6. worker: submit + complete, above two empty tasks:"
    return [
        Row(f"{figure} CPU", 1000 * both[0], unit="ms", bound=0, detail=detail),
        Row(f"{figure} wall", 1000 * both[1], unit="ms", bound=0),
    ]


def _cost(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """CPU and wall seconds of a process from its start to its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own command
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


if __name__ == "__main__":
    wanted = sys.argv[1]
    state = phase(wanted, ended_event() if wanted == "complete" else None)
    expected = "deferred" if wanted == "submit" else "success"
    if state != expected:
        raise SystemExit(f"{wanted} ended as {state}, not {expected}")
    print(json.dumps(state), flush=True)
    os._exit(0)  # as a worker's process ends
