"""Figures 1 to 3: what waiting asks of Kling, when it notices, what it costs a triggerer.

In each run all sides (see ``sides.py``) wait for the same videos, at the same time, each with an emulator and
a triggerer of its own.
"""

from __future__ import annotations

import json
import math
import random
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

from benchmarks.report import Row
from benchmarks.sides import SIDES, environment
from demo.local_emulator import LocalEmulator
from demo.processes import NotReached, Process, Processes, wait_for

#: Tasks on one page of Kling's list, the most that one request can tell of.
PAGE = 500
#: Seconds between the start of the waiting and the first video that is done. No real one is done sooner.
LEAD = 6.0


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

    @property
    def waits(self) -> list[tuple[str, int]]:
        """Sides and numbers that are measured."""
        both = [(side, count) for count in self.waiting for side in ("ours", "peer")]
        return [*both, ("idle", max(self.waiting))]


QUICK = Size(waiting=(50,), runs=1, over=6.0, interval=1.0)


@dataclass
class Outcome:
    """One triggerer's wait, to its end."""

    requests: int
    #: Seconds from each video's end to its event.
    late: list[float]
    cpu: float
    memory: float
    #: Milliseconds for which the loop's watch came late, at most.
    stall: float
    #: Milliseconds for which the loop was at work for triggers at one go, at most.
    busy: float
    bound: int
    missing: int
    failed: dict[str, str] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)


class Waiting:
    """One side's triggerer and emulator.

    :param side: one of ``SIDES``.
    :param count: of triggers.
    """

    def __init__(self, side: str, count: int, size: Size, processes: Processes, folder: Path) -> None:
        self.side, self.count, self.size, self.folder = side, count, size, folder
        self._processes = processes
        self._ids: list[str] = []
        self._ends: list[float] = []
        self._process: Process | None = None
        self._before = 0
        self._began = 0.0
        self.emulator = LocalEmulator(processes, concurrency=count)

    def start(self) -> None:
        """Start emulator and triggerer."""
        self.folder.mkdir(parents=True)
        self.emulator.start()
        command = [sys.executable, "-m", "benchmarks.triggerer", str(self.folder)]
        self._process = self._processes.start(
            f"{self.side}-{self.count}", command, environment(self.folder / "airflow", self.emulator)
        )

    def wait_ready(self) -> None:
        """Until the triggerer is up, its imports behind it."""
        wait_for(lambda: self._has("ready"), f"the triggerer of {self.side}", 60, interval=0.05)

    def buy(self, ends: Sequence[float], begin: float) -> None:
        """Order the videos.

        :param ends: seconds after ``begin`` at which they are done.
        """
        self._ends = [begin + end for end in ends]
        if self.side == "idle":
            self._ids = [str(number) for number in range(self.count)]
            return
        headers = {"Authorization": f"Bearer {self.emulator.api_key}"}
        with httpx.Client(headers=headers, trust_env=False, timeout=30) as client:
            for end in self._ends:
                seconds = max(0.0, end - time.time())
                body = {"model_name": "kling-v2-6", "prompt": f"A fox [seconds={seconds:.3f}]"}
                answer = client.post(f"{self.emulator.base_url}/v1/videos/text2video", json=body)
                self._ids.append(answer.raise_for_status().json()["data"]["task_id"])
        self._before = self.emulator.ledger()["requests_total"]

    def begin(self) -> None:
        """Hand the triggers over."""
        self._began = time.time()
        triggers = []
        for number, (task_id, end) in enumerate(zip(self._ids, self._ends, strict=True), 1):
            classpath, kwargs = SIDES[self.side](task_id, self.size.interval, end)
            triggers.append({"id": number, "classpath": classpath, "kwargs": kwargs})
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
            busy=told["busiest"][0]["busy_ms"],
            bound=self._bound(done_at.values()),
            missing=self.count - len(seen),
            failed=json.loads((self.folder / "failed.json").read_text()),
            detail={name: told[name] for name in ("longest_stalls", "busiest", "collections")},
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
        if self.side == "idle":
            return dict(zip(self._ids, self._ends, strict=True))
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


def one_run(size: Size, seed: int, folder: Path) -> dict[tuple[str, int], Outcome]:
    """All sides at all sizes, at once."""
    chosen = random.Random(seed)  # noqa: S311 - the same videos in each round, guards nothing
    with Processes(folder / "logs", grace=5) as processes:
        all_waiting = [
            Waiting(side, count, size, processes, folder / f"{side}-{count}") for side, count in size.waits
        ]
        for waiting in all_waiting:
            waiting.start()
        for waiting in all_waiting:
            waiting.wait_ready()
        # The orders take a while; all videos are measured from the moment at which the waiting begins.
        begin = time.time() + 1 + sum(count for _, count in size.waits) * 0.002
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
        if count == most and what != "requests":
            idle = detail["runs_idle"] = all_of("idle", count, what)
            how["bound"] = statistics.median(idle)
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
        idle = statistics.median(late["idle"])
        ours = statistics.median(late["ours"])
        found.append(
            Row(
                f"2. seconds until noticed, {name}, {most:,} waiting",
                ours,
                statistics.median(late["peer"]),
                unit="s",
                bound=idle,
                target=f"at most {factor} x interval = {factor * interval:g} s",
                met=ours <= factor * interval,
                detail={f"runs_{side}": late[side] for side in SIDES},
                places=2,
            )
        )
    cpu = row(f"3. CPU of the triggerer, {most:,} waiting", most, "cpu", unit="s", places=1)
    met = cpu.ours <= (cpu.peer or 0) / 10
    found.append(Row(**{**cpu.__dict__, "target": "at most 1/10 of the peer's", "met": met}))
    floor = cpu.bound or 0.0
    above = "3. CPU above triggers that only sleep"
    found.append(Row(above, cpu.ours - floor, (cpu.peer or 0) - floor, unit="s", bound=0, places=1))
    found.append(row("3. memory above the start", most, "memory", unit="MB"))
    stalls = {f"longest_{side}": [run[side, most].detail for run in runs] for side in SIDES}
    busy = row("3. longest stall of the loop by triggers", most, "busy", unit="ms", detail=stalls)
    found.append(Row(**{**busy.__dict__, "target": "none over 50 ms", "met": busy.ours <= 50}))
    found.append(row("3. longest stall of the loop by anything", most, "stall", unit="ms"))
    return found


def _quantile(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))] if values else math.nan
