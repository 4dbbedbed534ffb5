"""Figures 1 to 3: what waiting asks of Kling, when it notices, what it costs a triggerer.

In each run both sides wait for the same videos, at the same time, each with an emulator and a triggerer of
its own: ``KlingTaskTrigger`` here, ``HttpEventTrigger`` there.
"""

from __future__ import annotations

import base64
import json
import math
import random
import secrets
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.report import ROOT, Row
from demo.local_emulator import LocalEmulator
from demo.processes import NotReached, Process, Processes, wait_for

#: Tasks on one page of Kling's list, the most that one request can tell of.
PAGE = 500
#: Seconds between the start of the waiting and the first video that is done. No real one is done sooner.
LEAD = 6.0
SIDES = ("ours", "peer")


@dataclass(frozen=True)
class Size:
    """How much is measured.

    :param waiting: numbers of triggers.
    :param runs: of which the medians are taken.
    :param over: seconds over which the videos are done.
    :param interval: seconds between looks.
    """

    waiting: Sequence[int] = (10, 100, 1000)
    runs: int = 3
    over: float = 60.0
    interval: float = 5.0


QUICK = Size(waiting=(50,), runs=1, over=6.0, interval=1.0)


@dataclass
class Outcome:
    """One triggerer's wait, to its end."""

    requests: int
    #: Seconds from each video's end to its event.
    late: list[float]
    cpu: float
    memory: float
    stall: float
    bound: int
    missing: int
    failed: dict[str, str] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)


class Waiting:
    """One side's triggerer and emulator.

    :param side: one of :data:`SIDES`.
    :param count: of triggers.
    """

    def __init__(self, side: str, count: int, size: Size, processes: Processes, folder: Path) -> None:
        self.side, self.count, self.size, self.folder = side, count, size, folder
        self._processes = processes
        self._ids: list[str] = []
        self._process: Process | None = None
        self._before = 0
        self._began = 0.0
        self.emulator = LocalEmulator(processes, concurrency=count)

    def start(self) -> None:
        """Start emulator and triggerer."""
        self.folder.mkdir(parents=True)
        self.emulator.start()
        command = [sys.executable, "-m", "benchmarks.triggerer", str(self.folder)]
        self._process = self._processes.start(f"{self.side}-{self.count}", command, self._environment())

    def wait_ready(self) -> None:
        """Until the triggerer is up, its imports behind it."""
        wait_for(lambda: self._has("ready"), f"the triggerer of {self.side}", 60, interval=0.05)

    def buy(self, ends: Sequence[float], begin: float) -> None:
        """Order the videos.

        :param ends: seconds after ``begin`` at which they are done.
        """
        headers = {"Authorization": f"Bearer {self.emulator.api_key}"}
        with httpx.Client(headers=headers, trust_env=False, timeout=30) as client:
            for end in ends:
                seconds = max(0.0, begin + end - time.time())
                body = {"model_name": "kling-v2-6", "prompt": f"A fox [seconds={seconds:.3f}]"}
                answer = client.post(f"{self.emulator.base_url}/v1/videos/text2video", json=body)
                self._ids.append(answer.raise_for_status().json()["data"]["task_id"])
        self._before = self.emulator.ledger()["requests_total"]

    def begin(self) -> None:
        """Hand the triggers over."""
        self._began = time.time()
        make = self._ours if self.side == "ours" else self._peer
        triggers = [{"id": number, **make(task_id)} for number, task_id in enumerate(self._ids, 1)]
        job = {"triggers": triggers, "give_up_at": self._began + 3 * (LEAD + self.size.over) + 30}
        draft = self.folder / "draft.json"
        draft.write_text(json.dumps(job))
        draft.rename(self.folder / "job.json")

    def end(self) -> Outcome:
        """Wait for the last event; what it took."""
        wait_for(lambda: self._has("done"), f"the events of {self.side}", 4 * (LEAD + self.size.over) + 60)
        requests = self.emulator.ledger()["requests_total"] - self._before
        done_at = self._done_at()
        told = json.loads((self.folder / "outcome.json").read_text())
        seen = {self._ids[int(number) - 1]: at for number, at in told["events_at"].items()}
        outcome = Outcome(
            requests=requests,
            late=sorted(at - done_at[task_id] for task_id, at in seen.items()),
            cpu=told["cpu_seconds"],
            memory=told["memory_mb"],
            stall=told["longest_stalls"][0]["ms"],
            bound=self._bound(done_at.values()),
            missing=self.count - len(seen),
            failed=json.loads((self.folder / "failed.json").read_text()),
            detail={"longest_stalls": told["longest_stalls"]},
        )
        if self._process is not None:
            self._processes.end(self._process)
        self.emulator.stop()
        return outcome

    def _bound(self, done_at: Iterable[float]) -> int:
        """Requests of one who asks for all that are not known to be done, at each tick, until none is."""
        ends = [end - self._began for end in done_at]
        ticks = math.ceil(max(ends) / self.size.interval)
        before = (self.size.interval * number for number in range(ticks))
        return sum(math.ceil(sum(end > at for end in ends) / PAGE) for at in before)

    def _done_at(self) -> dict[str, float]:
        found: dict[str, float] = {}
        headers = {"Authorization": f"Bearer {self.emulator.api_key}"}
        for number in range(1, math.ceil(self.count / PAGE) + 1):
            answer = httpx.get(
                f"{self.emulator.base_url}/v1/videos/text2video",
                params={"pageNum": number, "pageSize": PAGE},
                headers=headers,
                trust_env=False,
            ).raise_for_status()
            found |= {item["task_id"]: item["updated_at"] / 1000 for item in answer.json()["data"]}
        return found

    def _has(self, name: str) -> bool:
        if self._process is not None and not self._process.running and not (self.folder / "done").exists():
            raise NotReached(f"the triggerer of {self.side} ended:\n{self._process.tail(40)}")
        return (self.folder / name).exists()

    def _ours(self, task_id: str) -> dict[str, Any]:
        return {
            "classpath": "airflow_provider_kling.triggers.task.KlingTaskTrigger",
            "kwargs": {
                "kling_conn_id": "kling_default",
                "kling_task_id": task_id,
                "kind": "text2video",
                "external_task_id": "",
                "poll_interval": self.size.interval,
                "deadline": time.time() + 3600,
            },
        }

    def _peer(self, task_id: str) -> dict[str, Any]:
        return {
            "classpath": "airflow.providers.http.triggers.http.HttpEventTrigger",
            "kwargs": {
                "http_conn_id": "kling_http",
                "method": "GET",
                "auth_type": None,
                "endpoint": f"v1/videos/text2video/{task_id}",
                "headers": None,
                "data": None,
                "extra_options": None,
                "response_check_path": "benchmarks.peers.ended",
                "poll_interval": self.size.interval,
            },
        }

    def _environment(self) -> dict[str, str]:
        home = self.folder / "airflow"
        return {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "NO_PROXY": "*",
            "PYTHONPATH": str(ROOT),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW_CONN_KLING_DEFAULT": self.emulator.connection,
            "AIRFLOW_CONN_KLING_HTTP": http_connection(self.emulator),
        }


def http_connection(emulator: LocalEmulator) -> str:
    """The connection for the HTTP provider; its extra is sent as headers."""
    headers = {"Authorization": f"Bearer {emulator.api_key}", "Content-Type": "application/json"}
    return json.dumps({"conn_type": "http", "host": emulator.base_url, "extra": headers})


def one_run(size: Size, seed: int, folder: Path) -> dict[tuple[str, int], Outcome]:
    """Both sides at all sizes, at once."""
    chosen = random.Random(seed)  # noqa: S311 - the same videos in each round, guards nothing
    with Processes(folder / "logs", grace=5) as processes:
        all_waiting = [
            Waiting(side, count, size, processes, folder / f"{side}-{count}")
            for count in size.waiting
            for side in SIDES
        ]
        for waiting in all_waiting:
            waiting.start()
        for waiting in all_waiting:
            waiting.wait_ready()
        # The orders take a while; all videos are measured from the moment at which the waiting begins.
        begin = time.time() + 1 + sum(size.waiting) * len(SIDES) * 0.004
        ends = {count: [LEAD + chosen.uniform(0, size.over) for _ in range(count)] for count in size.waiting}
        for waiting in all_waiting:
            waiting.buy(ends[waiting.count], begin)
        time.sleep(max(0.0, begin - time.time()))
        for waiting in all_waiting:
            waiting.begin()
        return {(waiting.side, waiting.count): waiting.end() for waiting in all_waiting}


def measure(size: Size, say: Any = print) -> list[dict[tuple[str, int], Outcome]]:
    """All runs."""
    runs = []
    for number in range(size.runs):
        folder = Path(tempfile.mkdtemp(prefix="kling-bench-"))
        try:
            runs.append(one_run(size, number, folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        for (side, count), outcome in runs[-1].items():
            say(
                f"  run {number + 1}: {side:4} {count:5,} waiting: {outcome.requests:6,} requests, "
                f"{outcome.cpu:6.2f} s CPU, longest stall {outcome.stall:6.1f} ms"
                + (f", {outcome.missing} EVENTS MISSING" if outcome.missing else "")
            )
    return runs


def run(quick: bool) -> list[Row]:
    """Figures 1 to 3."""
    size = QUICK if quick else Size()
    return rows(size, measure(size))


def rows(size: Size, runs: list[dict[tuple[str, int], Outcome]]) -> list[Row]:
    """As they are shown."""
    found = []
    most = max(size.waiting)

    def all_of(side: str, count: int, what: str) -> list[float]:
        return [float(getattr(run[side, count], what)) for run in runs]

    def row(figure: str, count: int, what: str, **how: Any) -> Row:
        ours, peer = all_of("ours", count, what), all_of("peer", count, what)
        detail = {"runs_ours": ours, "runs_peer": peer, **how.pop("detail", {})}
        return Row(figure, statistics.median(ours), statistics.median(peer), detail=detail, **how)

    for count in size.waiting:
        bound = statistics.median(all_of("ours", count, "bound"))
        asked = row(f"1. requests, {count:,} waiting for {size.over:g} s", count, "requests", bound=bound)
        if count == most:
            met = asked.ours <= (asked.peer or 0) / 100
            asked = Row(**{**asked.__dict__, "target": "at most 1/100 of the peer's", "met": met})
        found.append(asked)
    interval = size.interval
    for name, share, factor in (("median", 0.5, 0.6), ("p99", 0.99, 1.2)):
        late = {side: [_quantile(run[side, most].late, share) for run in runs] for side in SIDES}
        ours = statistics.median(late["ours"])
        found.append(
            Row(
                f"2. seconds until noticed, {name}, {most:,} waiting",
                ours,
                statistics.median(late["peer"]),
                unit="s",
                target=f"at most {factor} x interval = {factor * interval:g} s",
                met=ours <= factor * interval,
                detail={"runs_ours": late["ours"], "runs_peer": late["peer"]},
                places=2,
            )
        )
    cpu = row(f"3. CPU of the triggerer, {most:,} waiting", most, "cpu", unit="s", places=1)
    met = cpu.ours <= (cpu.peer or 0) / 10
    found.append(Row(**{**cpu.__dict__, "target": "at most 1/10 of the peer's", "met": met}))
    found.append(row("3. memory above the start", most, "memory", unit="MB"))
    stalls = {"detail": {f"longest_{side}": [run[side, most].detail for run in runs] for side in SIDES}}
    stall = row("3. longest stall of the event loop", most, "stall", unit="ms", **stalls)
    found.append(Row(**{**stall.__dict__, "target": "none over 50 ms", "met": stall.ours <= 50}))
    return found


def _quantile(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))] if values else math.nan
