"""Figure 5: what this package's operator adds to the parsing of a DAG file. Airflow parses all the time."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.report import Row
from benchmarks.worker_path import environment

#: Run by a fresh interpreter: the bare file first, which reads in ``airflow.sdk``, so that what is measured
#: has only its own left to read. CPU time, whatever else the machine does.
TIMED = """
import runpy, sys, time
runpy.run_path(sys.argv[1])
started = time.process_time()
runpy.run_path(sys.argv[2])
print(time.process_time() - started)
"""

FILES = {
    "bare": """
from airflow.sdk import DAG, task

with DAG("bare", schedule=None):
    @task
    def video():
        return 1
    video()
""",
    "ours": """
from airflow.sdk import DAG, task
from airflow_provider_kling.operators.text2video import KlingText2VideoOperator

with DAG("ours", schedule=None):
    KlingText2VideoOperator(task_id="video", prompt="A fox", deferrable=True)
""",
    "peer": """
from airflow.sdk import DAG, task
from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.http.sensors.http import HttpSensor

with DAG("peer", schedule=None):
    HttpOperator(task_id="submit", endpoint="x") >> HttpSensor(task_id="wait", endpoint="x")
""",
}


def run(quick: bool) -> list[Row]:
    """Figure 5: fresh interpreters, by turns."""
    rounds = 2 if quick else 10
    seconds: dict[str, list[float]] = {name: [] for name in FILES}
    with tempfile.TemporaryDirectory(prefix="kling-bench-") as folder:
        for name, text in FILES.items():
            Path(folder, f"{name}.py").write_text(text)
        # One round more than counts: the first writes the caches of bytecode.
        for number in range(rounds + 1):
            for name in FILES:
                done = subprocess.run(  # noqa: S603 - our own command
                    [sys.executable, "-c", TIMED, f"{folder}/bare.py", f"{folder}/{name}.py"],
                    env=environment(Path(folder)),
                    capture_output=True,
                    text=True,
                    check=True,
                    timeout=60,
                )
                if number:
                    seconds[name].append(float(done.stdout.split()[-1]))

    def above(name: str) -> float:
        return 1000 * (statistics.median(seconds[name]) - statistics.median(seconds["bare"]))

    ours = above("ours")
    return [
        Row(
            "5. parsing a DAG file, above airflow.sdk alone",
            ours,
            above("peer"),
            unit="ms",
            bound=0,
            target="at most 20 ms",
            met=ours <= 20,
            detail={"seconds": seconds},
        )
    ]
