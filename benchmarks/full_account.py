"""Figure 4: more videos than the account has slots, in a real Airflow: scheduler, workers, triggerer.

Ours: mapped tasks, nothing else. The peer: ``HttpOperator`` and ``HttpSensor`` (reschedule) in a task group,
in a pool with as many slots as the account. It gets as long as it takes to see its pace.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.report import Row
from benchmarks.sides import http_connection
from demo.airflow_api import FINAL_STATES, Run
from demo.local_airflow import LocalAirflow
from demo.local_emulator import LocalEmulator
from demo.processes import NotReached, Processes, wait_for

FOLDER = Path(__file__).resolve().parent / "dags"


@dataclass(frozen=True)
class Load:
    """What there is to do.

    :param parallelism: tasks that Airflow runs at once.
    :param patience: seconds for ours.
    :param peer_patience: seconds for the peer.
    """

    videos: int = 60
    slots: int = 5
    seconds: float = 20.0
    interval: float = 5.0
    parallelism: int = 8
    patience: float = 600.0
    peer_patience: float = 120.0

    @property
    def bound(self) -> float:
        """Seconds in which nobody can do better."""
        return -(-self.videos // self.slots) * self.seconds


QUICK = Load(videos=8, slots=2, seconds=6.0, interval=2.0)


@dataclass
class Done:
    """What became of one DAG run."""

    seconds: float
    ended: bool
    #: That were made, whether or not Airflow has noticed.
    videos: int
    #: Share of the slots' time in which they made videos, from the first create to the last video's end.
    used: float
    refused: int
    retries: int
    states: dict[str, int]
    #: Seconds from a slot's becoming free to the create that took it.
    gaps: list[float]
    requests: dict[str, int]


def play(airflow: LocalAirflow, emulator: LocalEmulator, dag_id: str, load: Load, patience: float) -> Done:
    """One DAG run, to its end or for as long as there is patience."""
    started = time.time()
    dag_run = airflow.trigger_dag(dag_id)
    try:
        wait_for(lambda: airflow.run_state(dag_run) in FINAL_STATES, dag_id, patience, interval=1.0)
        ended = True
    except NotReached:
        ended = False
    now = time.time()
    ledger = emulator.ledger()
    tasks = airflow.task_instances(dag_run)
    if not ended:
        airflow.call("PATCH", dag_run.path, json={"state": "failed"})
    ordered = sorted(entry["at"] for entry in ledger["creates"])
    freed = [min(at + load.seconds, now) for at in ordered]
    span = load.slots * (freed[-1] - ordered[0]) if ordered else 1.0
    states: dict[str, int] = {}
    for task in tasks:
        states[str(task.state)] = states.get(str(task.state), 0) + 1
    return Done(
        seconds=_seconds(airflow, dag_run) if ended else now - started,
        ended=ended,
        videos=ledger["charged_tasks"],
        used=sum(end - at for at, end in zip(ordered, freed, strict=True)) / span,
        refused=sum(ledger["refused"].values()),
        retries=sum(max(0, task.try_number - 1) for task in tasks),
        states=states,
        gaps=[round(at - end, 2) for at, end in zip(ordered[load.slots :], freed, strict=False)],
        requests=ledger["requests"],
    )


def _seconds(airflow: LocalAirflow, dag_run: Run) -> float:
    """As Airflow counts: from the start of the run to its end."""
    raw = airflow.call("GET", dag_run.path)
    start, end = (datetime.fromisoformat(raw[name]) for name in ("start_date", "end_date"))
    return (end - start).total_seconds()


def measure(load: Load, *, sides: tuple[str, ...] = ("ours", "peer"), say: Callable[[str], Any] = print,
            keep: Path | None = None) -> dict[str, Done]:  # fmt: skip
    """Both sides, one after the other, in one Airflow.

    :param keep: a folder to leave the logs in.
    """
    folder = keep or Path(tempfile.mkdtemp(prefix="kling-bench-"))
    found: dict[str, Done] = {}
    processes = Processes(folder / "components", 4.0)
    try:
        emulators = {
            side: LocalEmulator(processes, concurrency=load.slots, seconds_per_video=load.seconds)
            for side in sides
        }
        for emulator in emulators.values():
            emulator.start()
        connections = {}
        if "ours" in emulators:
            connections["kling_default"] = emulators["ours"].connection
        if "peer" in emulators:
            connections["kling_http"] = http_connection(emulators["peer"])
        airflow = LocalAirflow(
            folder / "airflow",
            FOLDER,
            connections=connections,
            environment={
                "BENCH_VIDEOS": str(load.videos),
                "BENCH_INTERVAL": str(load.interval),
                "PYTHONPATH": str(FOLDER.parent.parent),
            },
            parallelism=load.parallelism,
            processes=processes,
        )
        with airflow:
            pool = {"name": "kling", "slots": load.slots, "include_deferred": True}
            airflow.call("POST", "/pools", json=pool)
            for side, emulator in emulators.items():
                airflow.wait_for_dag(side)
                patience = load.patience if side == "ours" else load.peer_patience
                found[side] = done = play(airflow, emulator, side, load, patience)
                say(
                    f"  {side:4}: {done.videos} of {load.videos} videos in {done.seconds:.0f} s, slots used "
                    f"{done.used:.0%}, {done.refused} creates refused, {done.retries} retries; {done.states}"
                )
    finally:
        processes.end_all()
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    return found


def run(quick: bool) -> list[Row]:
    """Figure 4."""
    load = QUICK if quick else Load()
    return rows(load, measure(load))


def rows(load: Load, found: dict[str, Done]) -> list[Row]:
    """As they are shown."""
    ours, peer = found["ours"], found["peer"]
    what = f"4. {load.videos} videos, {load.slots} at once"
    detail = {"ours": asdict(ours), "peer": asdict(peer)}
    return [
        Row(f"{what}: until the last", ours.seconds, unit="s", bound=load.bound, detail=detail),
        Row(
            "4. videos a minute",
            60 * ours.videos / ours.seconds,
            60 * peer.videos / peer.seconds,
            bound=60 * load.slots / load.seconds,
            places=1,
        ),
        Row(
            "4. slots' time used",
            100 * ours.used,
            100 * peer.used,
            unit="%",
            bound=100,
            target="at least 80 %",
            met=ours.used >= 0.8,
        ),
        Row(
            "4. creates refused per video",
            ours.refused / max(1, ours.videos),
            peer.refused / max(1, peer.videos),
            bound=0,
            target="fewer than 3",
            met=ours.refused < 3 * ours.videos,
            places=2,
        ),
        Row(
            "4. retries used per video",
            ours.retries / max(1, ours.videos),
            peer.retries / max(1, peer.videos),
            bound=0,
            target="none",
            met=not ours.retries and ours.states == {"success": load.videos},
            places=2,
        ),
    ]
