"""A task as a DAG author names it: by an id, or by what an operator returned."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_kling.exceptions import KlingInputError

if TYPE_CHECKING:
    from airflow_provider_kling.api.tasks import GenerationTask


@dataclass(frozen=True)
class TaskReference:
    """Which task is meant.

    :param task_id: Kling's id or the external id; Kling's where ``task`` is known.
    :param task: as an operator returned it; ``None`` where only an id was given.
    """

    task_id: str
    task: GenerationTask | None = None

    @classmethod
    def read(cls, given: Any, argument: str) -> TaskReference:
        """Read a rendered argument.

        :param given: an id, or the dict that an operator returned, as it is or as text.
        :param argument: its name, for the message.
        :raises KlingInputError: it is neither, or empty.
        """
        from airflow_provider_kling.api.tasks import GenerationTask

        value, task = _read(given), None
        if isinstance(value, Mapping):
            try:
                task = GenerationTask.from_summary(dict(value))
            except ValueError as e:
                raise _neither(argument, str(e)) from e
            value = task.task_id
        # Native rendering makes a number of Kling's ids.
        if value is not None and not isinstance(value, (str, int)):
            raise _neither(argument, f"got {str(given)[:200]}")
        task_id = str(value or "").strip()
        if task_id in ("", "None"):
            raise KlingInputError(
                f"{argument}: it is empty, got {given!r} after rendering. Nothing was bought. Give it an id, "
                "or what KlingText2VideoOperator returned; retrying will not help."
            )
        return cls(task_id, task)


def _neither(argument: str, why: str) -> KlingInputError:
    return KlingInputError(
        f"{argument}: it is neither an id nor what KlingText2VideoOperator returns ({why}). Nothing was "
        "bought; correct it, retrying will not help."
    )


def _read(given: Any) -> Any:
    """A dict that a template has turned into text becomes a dict again."""
    if isinstance(given, str) and given.lstrip().startswith("{"):
        for parse in (json.loads, ast.literal_eval):
            try:
                return parse(given)
            except (ValueError, SyntaxError):
                continue
    return given
