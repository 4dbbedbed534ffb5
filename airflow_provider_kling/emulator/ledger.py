"""The book: what was bought, what was refused, and how often anybody asked."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any

from airflow_provider_kling.emulator.tasks import SUCCEED, Task, TaskStore


def plain(units: Decimal | None) -> str | None:
    """Write ``Decimal('1.50')`` as ``"1.5"``, and never with an exponent."""
    if units is None:
        return None
    text = f"{units:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class Ledger:
    """Counts, and reads the tasks for the rest. Not locked: its owner is."""

    def __init__(self, tasks: TaskStore) -> None:
        self._tasks = tasks
        self.requests: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.refused_reads: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        #: Prompt -> creates that arrived with it, whatever became of them.
        self.arrived: Counter[str] = Counter()

    def note_create(self, body: bytes) -> None:
        """Count a create that arrived."""
        try:
            prompt = json.loads(body)["prompt"]
        except (ValueError, TypeError, KeyError, RecursionError):
            prompt = ""
        self.arrived[str(prompt)] += 1

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        creates = [self._entry(task) for task in self._tasks]
        return {
            "creates": creates,
            "accepted": len(creates),
            "charged_units": plain(sum((task.deducted for task in self._tasks), Decimal(0))),
            "charged_tasks": sum(task.status == SUCCEED for task in self._tasks),
            "running": self._tasks.running(),
            "refused": dict(self.refused),
            "refused_reads": dict(self.refused_reads),
            "requests": dict(self.requests),
            "requests_total": sum(self.requests.values()),
            "faults": dict(self.faults),
            "creates_arrived": dict(self.arrived),
        }

    def _entry(self, task: Task) -> dict[str, Any]:
        return {
            "task_id": task.task_id,
            "external_task_id": task.external_task_id,
            "kind": task.kind,
            "units_estimate": plain(task.units),
            "units_deducted": plain(task.deducted),
            "status": task.status,
            "prompt": task.prompt,
            "model_name": task.model_name,
            "at": task.created_at,
        }
