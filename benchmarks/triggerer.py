"""A triggerer whose triggers come from a file instead of a database; it tells what its event loop cost.

``python -m benchmarks.triggerer FOLDER``: waits for ``FOLDER/job.json``, runs its triggers until each has
fired, writes ``FOLDER/outcome.json``. Supervisor, runner, their sockets, the trigger logs: all Airflow's own.
Replaced is only what asks the metadata database: which triggers there are, and what becomes of their events.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import signal
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from airflow.executors.workloads.task import TaskInstanceDTO
from airflow.executors.workloads.trigger import RunTrigger
from airflow.jobs.triggerer_job_runner import (
    TriggerEventEntry,
    TriggerLoggingFactory,
    TriggerRunner,
    TriggerRunnerSupervisor,
)
from airflow.models.trigger import Trigger
from airflow.sdk.log import configure_logging

#: Seconds between two wake-ups of the watch for stalls; what comes later than that is the stall.
WATCH_SECONDS = 0.01
#: Triggers that a real triggerer takes from the database in one turn.
AT_ONCE: int = Trigger.max_trigger_to_select_per_loop

#: Set before the runner is forked off.
_folder = Path()


class _Events(deque[TriggerEventEntry]):
    """The runner's own queue of events, with the time at which each came."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[int, float] = {}

    def append(self, entry: TriggerEventEntry) -> None:
        self.at[entry.trigger_id] = time.time()
        super().append(entry)


class _Timed:
    """A reader of messages, timed."""

    def __init__(self, reader: Any, runner: MeasuredRunner) -> None:
        self._reader, self._runner = reader, runner

    def decode(self, frame: Any) -> Any:
        """From bytes; where the time goes when a message brings a thousand triggers."""
        return self._runner.read(lambda: self._reader.decode(frame))

    def validate_python(self, message: Any) -> Any:
        """From what the bytes said."""
        return self._runner.read(lambda: self._reader.validate_python(message))


class MeasuredRunner(TriggerRunner):
    """Airflow's runner, watched from inside: its process does nothing else."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in Airflow
        self.events = self._noted = _Events()
        self._began = 0.0
        #: Of each wake-up of the watch: seconds late; seconds that the loop's thread was at work in between,
        #: but for ``_not_theirs`` (the rest it stood still: for threads of its process, for the machine);
        #: seconds since the start.
        self._stalls: list[tuple[float, float, float]] = []
        #: (seconds, seconds since the start) of each full collection of garbage: nobody's callback.
        self._collections: list[tuple[float, float]] = []
        self._collecting_since = self._collecting_busy = 0.0
        #: Seconds that the loop's thread was at work for no trigger: it collected garbage, or read what the
        #: supervisor had sent.
        self._not_theirs = 0.0
        self._thread = 0
        self._cpu_before = 0.0
        self._memory_before = 0
        gc.callbacks.append(self._collected)

    async def arun(self) -> None:
        """As it is, with the watch beside it."""
        self._thread = threading.get_ident()
        self._watch(asyncio.get_running_loop(), time.perf_counter(), time.thread_time())
        await super().arun()  # type: ignore[no-untyped-call]

    async def init_comms(self) -> None:
        """As it is, but it is known how long reading takes."""
        await super().init_comms()  # type: ignore[no-untyped-call]
        decoder: Any = self.comms_decoder
        decoder.resp_decoder = _Timed(decoder.resp_decoder, self)
        decoder.body_decoder = _Timed(decoder.body_decoder, self)

    def read(self, reading: Callable[[], Any]) -> Any:
        """Read something that the supervisor has sent."""
        busy, before = time.thread_time(), self._not_theirs
        message = reading()
        # Garbage that was collected meanwhile has been counted.
        self._not_theirs += time.thread_time() - busy - (self._not_theirs - before)
        return message

    async def create_triggers(self) -> None:
        """As it is; the first trigger is where measuring begins."""
        if self.to_create and not self._began:
            self._cpu_before, self._memory_before = _cpu(), _memory("VmRSS")
            self._began = time.perf_counter()
        await super().create_triggers()  # type: ignore[no-untyped-call]

    def _watch(self, loop: asyncio.AbstractEventLoop, last: float, busy_before: float) -> None:
        # A callback, not a task: its own cost counts as the triggers'.
        now, busy = time.perf_counter(), time.thread_time() - self._not_theirs
        if self._began:
            self._stalls.append((now - last - WATCH_SECONDS, busy - busy_before, now - self._began))
        loop.call_later(WATCH_SECONDS, self._watch, loop, now, busy)

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        now, busy = time.perf_counter(), time.thread_time()
        if phase == "start":
            self._collecting_since, self._collecting_busy = now, busy
            return
        if threading.get_ident() == self._thread:
            self._not_theirs += busy - self._collecting_busy
        if info["generation"] == 2 and self._began:
            self._collections.append((now - self._collecting_since, now - self._began))

    def outcome(self) -> dict[str, Any]:
        """What it cost, from the first trigger to now."""
        stalls = sorted(self._stalls, reverse=True)[:5]
        busiest = sorted(self._stalls, key=lambda stall: stall[1], reverse=True)[:5]
        return {
            "events_at": self._noted.at,
            "cpu_seconds": _cpu() - self._cpu_before,
            "memory_mb": (_memory("VmHWM") - self._memory_before) / 1024,
            "longest_stalls": [_stall(*stall) for stall in stalls],
            "busiest": [_stall(*stall) for stall in busiest],
            "collections": [
                {"ms": round(1000 * took, 1), "after_s": round(at, 2)} for took, at in self._collections
            ],
        }


def _stall(late: float, busy: float, at: float) -> dict[str, float]:
    return {"ms": round(1000 * late, 1), "busy_ms": round(1000 * busy, 1), "after_s": round(at, 2)}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _memory(name: str) -> int:
    """In KB; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)


@attrs.define(kw_only=True)
class JobSupervisor(TriggerRunnerSupervisor):
    """Airflow's supervisor, given its triggers. What is overridden here would ask the database."""

    to_do: list[dict[str, Any]] = attrs.field(factory=list)
    give_up_at: float = float("inf")
    fired: set[int] = attrs.field(factory=set)
    failed: dict[int, str] = attrs.field(factory=dict)
    total: int = 0

    @classmethod
    def run_in_process(cls) -> None:
        """In the forked process: its whole life is the runner's."""
        runner = MeasuredRunner()
        runner.run()  # type: ignore[no-untyped-call]
        (_folder / "outcome.json").write_text(json.dumps(runner.outcome()))

    def load_triggers(self) -> None:
        """Hand over as many as a real one takes from the database in one turn."""
        for item in self.to_do[:AT_ONCE]:
            instance = _task_instance(item["id"])
            log_path = f"trigger-{item['id']}.log"
            # As Airflow's own supervisor does, which also passes what its types do not allow.
            logger = TriggerLoggingFactory(log_path=log_path, ti=instance)  # type: ignore[arg-type]
            self.logger_cache[item["id"]] = logger
            kwargs = Trigger.encrypt_kwargs(item["kwargs"])
            workload = RunTrigger(
                id=item["id"], classpath=item["classpath"], encrypted_kwargs=kwargs, ti=instance
            )
            self.creating_triggers.append(workload)
        del self.to_do[:AT_ONCE]

    def on_trigger_event(self, trigger_id: int, event: Any) -> None:
        """Count it."""
        self.fired.add(trigger_id)

    def on_trigger_failure(self, trigger_id: int, exc: list[str] | None) -> None:
        """Keep what was wrong."""
        self.failed[trigger_id] = (exc or ["ended without an event"])[-1].strip()

    def should_stop(self) -> bool:
        """When each has fired or failed."""
        return len(self.fired | self.failed.keys()) >= self.total or time.time() > self.give_up_at

    def clean_unused(self) -> None:
        """There is nothing to clean."""

    def heartbeat(self) -> None:
        """Nobody listens."""

    def metric_tags(self) -> dict[str, str]:
        """There is no job whose host could be named."""
        return {"hostname": "benchmark"}


def _task_instance(number: int) -> TaskInstanceDTO:
    return TaskInstanceDTO(
        id=uuid.uuid4(),
        task_id="wait",
        dag_id="benchmark",
        run_id="run",
        try_number=1,
        dag_version_id=uuid.uuid4(),
        map_index=number,
        pool_slots=1,
        priority_weight=1,
    )


def main() -> None:
    """Wait for the job, do it, leave."""
    global _folder  # noqa: PLW0603 - the forked runner is a class method without arguments
    _folder = Path(sys.argv[1])
    configure_logging()
    supervisor = JobSupervisor.start(job=None, capacity=1_000_000, logger=None)
    (_folder / "ready").touch()
    job_file = _folder / "job.json"
    while not job_file.exists():
        supervisor.run_once()
    job = json.loads(job_file.read_text())
    supervisor.to_do, supervisor.total = job["triggers"], len(job["triggers"])
    supervisor.give_up_at = job["give_up_at"]
    supervisor.run()
    supervisor.kill(signal.SIGTERM, force=True, escalation_delay=20.0)
    (_folder / "failed.json").write_text(json.dumps(supervisor.failed))
    (_folder / "done").touch()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
