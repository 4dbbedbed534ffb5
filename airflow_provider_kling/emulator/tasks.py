"""Generation tasks: what was bought, how far it is, and who may find it."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from airflow_provider_kling.api import catalog
from airflow_provider_kling.emulator.settings import Settings

SUBMITTED, PROCESSING, SUCCEED, FAILED = "submitted", "processing", "succeed", "failed"

#: Task ids of the service are 18-digit decimal strings, beyond what a float holds.
FIRST_TASK_ID = 900_000_000_000_000_001

#: Share of its time that a task is ``submitted`` before it is ``processing``.
QUEUED_SHARE = 0.1

POLICY_MESSAGE = "Failure to pass the risk control system"
FAIL_MESSAGE = "Generation failed: internal error"

_SECONDS = re.compile(r"\[seconds=(\d+(?:\.\d+)?)\]")
_FAIL_N = re.compile(r"\[fail-(\d{1,4}|twice)\]")


@dataclass
class Task:
    """One generation task. Times are the emulator's clock, in seconds."""

    task_id: str
    kind: str
    body: dict[str, Any]
    created_at: float
    updated_at: float
    units: Decimal | None
    external_task_id: str = ""
    status: str = SUBMITTED
    message: str = ""
    #: Message it will fail with; "" if it will succeed.
    doom: str = ""
    looks: int = 0
    #: Cleared by the service: no look-up finds it.
    gone: bool = False
    #: The task is still known, its video isn't.
    video_gone: bool = False

    @property
    def finished(self) -> bool:
        """Whether it has come to its end."""
        return self.status in (SUCCEED, FAILED)

    @property
    def prompt(self) -> str:
        """The prompt, or the shots' prompts, of the request."""
        shots = [item for item in self.body.get("multi_prompt", []) if isinstance(item, dict)]
        return str(self.body.get("prompt", "")) or " / ".join(str(shot.get("prompt", "")) for shot in shots)

    @property
    def model_name(self) -> str:
        """Model asked for."""
        return str(self.body.get("model_name", ""))

    @property
    def seconds(self) -> int:
        """Length of the video."""
        return int(self.body.get("duration", "5"))

    @property
    def watermark(self) -> bool:
        """Whether a watermarked variant was asked for."""
        return bool(self.body.get("watermark_info", {}).get("enabled", False))

    @property
    def deducted(self) -> Decimal:
        """Units taken from the account: nothing before the end, nothing for a failed task."""
        return self.units or Decimal(0) if self.status == SUCCEED else Decimal(0)


def estimate(body: dict[str, Any]) -> Decimal | None:
    """Price of a checked request."""
    return catalog.estimate_units(
        body.get("model_name", ""),
        mode=body.get("mode"),
        sound=body.get("sound"),
        duration=int(body.get("duration", "5")),
    )


class TaskStore:
    """All tasks of the account, and the passing of their time. Not locked: its owner is."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tasks: dict[str, Task] = {}
        self._by_external_id: dict[str, Task] = {}
        self._running: dict[str, Task] = {}
        #: (due, order, task, status): what happens next, soonest first.
        self._agenda: list[tuple[float, int, Task, str]] = []
        self._order = 0
        self._made_with_prompt: dict[str, int] = {}

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks.values())

    def __len__(self) -> int:
        return len(self._tasks)

    def running(self, model_name: str | None = None) -> int:
        """How many hold a slot, of one model or of all."""
        if model_name is None:
            return len(self._running)
        return sum(task.model_name == model_name for task in self._running.values())

    def external_id_taken(self, external_task_id: str) -> bool:
        """Whether a task of this account, whatever became of it, has this id."""
        return external_task_id in self._by_external_id

    def add(self, kind: str, body: dict[str, Any], now: float, external_task_id: str = "") -> Task:
        """Accept a task."""
        task_id = str(FIRST_TASK_ID + len(self._tasks))
        task = Task(task_id, kind, body, now, now, estimate(body), external_task_id)
        task.doom = self._doom(task.prompt)
        self._tasks[task_id] = task
        self._running[task_id] = task
        if external_task_id:
            self._by_external_id[external_task_id] = task
        own = _SECONDS.search(task.prompt)
        if own or self._settings.progress == "time":
            seconds = float(own[1]) if own else self._settings.seconds_per_video
            self._schedule(now + seconds * QUEUED_SHARE, task, PROCESSING)
            self._schedule(now + seconds, task, FAILED if task.doom else SUCCEED)
        elif self._settings.progress == "immediate":
            self._schedule(now, task, FAILED if task.doom else SUCCEED)
        else:
            task.looks = -1 - self._settings.looks
        return task

    def look(self, task: Task, now: float) -> bool:
        """Someone is shown the task; in "looks" mode that moves it on. Returns whether it did."""
        if task.looks >= 0 or task.finished:
            return False
        task.looks += 1
        before = task.status
        if task.looks == 0:
            self._move(task, FAILED if task.doom else SUCCEED, now)
        elif task.looks > -self._settings.looks:
            self._move(task, PROCESSING, now)
        return task.status != before

    def find(self, given: str, kind: str | None, now: float, *, external: bool = True) -> Task | None:
        """Look a task up by Kling's id or, if the service does that, by the caller's."""
        task = self._tasks.get(given)
        if task is None and external:
            task = self._by_external_id.get(given)
            if task is not None and now < task.created_at + self._settings.visibility_lag:
                return None
        if task is None or self._is_gone(task, now) or (kind is not None and task.kind != kind):
            return None
        return task

    def page(self, kind: str, number: int, size: int, now: float) -> list[Task]:
        """Return one page, newest first. The service documents no order: don't rely on this one."""
        visible = [
            task
            for task in reversed(list(self._tasks.values()))
            if task.kind == kind
            and not self._is_gone(task, now)
            and now >= task.created_at + self._settings.visibility_lag
        ]
        return visible[(number - 1) * size : number * size]

    def next_change(self, now: float) -> Task | None:
        """Let the next due change happen; ``None`` when nothing is due."""
        while self._agenda and self._agenda[0][0] <= now:
            due, _, task, status = heapq.heappop(self._agenda)
            if not task.finished:
                self._move(task, status, due)
                return task
        return None

    def expire(self, task: Task, *, video_only: bool, forget_external_id: bool) -> None:
        """Clear a task, as the service does after 30 days, or only its video."""
        task.video_gone = True
        task.gone = not video_only
        if task.gone and forget_external_id:
            self._by_external_id.pop(task.external_task_id, None)

    def _doom(self, prompt: str) -> str:
        made = self._made_with_prompt[prompt] = self._made_with_prompt.get(prompt, 0) + 1
        if "[policy-after]" in prompt:
            return POLICY_MESSAGE
        if "[fail]" in prompt:
            return FAIL_MESSAGE
        times = _FAIL_N.search(prompt)
        if times and made <= (2 if times[1] == "twice" else int(times[1])):
            return FAIL_MESSAGE
        return ""

    def _schedule(self, due: float, task: Task, status: str) -> None:
        self._order += 1
        heapq.heappush(self._agenda, (due, self._order, task, status))

    def _move(self, task: Task, status: str, at: float) -> None:
        task.status, task.updated_at = status, at
        if task.finished:
            task.message = task.doom
            self._running.pop(task.task_id, None)

    def _is_gone(self, task: Task, now: float) -> bool:
        return task.gone or now >= task.created_at + self._settings.retention
