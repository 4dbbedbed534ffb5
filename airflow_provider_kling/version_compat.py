"""The only place that knows Airflow versions."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Protocol


class TaskStateStore(Protocol):
    """The part of Airflow's task state store that is used here."""

    def get(self, key: str, default: Any = None) -> Any:
        """Read a value."""

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Write a value."""

    def delete(self, key: str) -> None:
        """Forget a value."""


def task_state_store(context: Mapping[str, Any]) -> TaskStateStore | None:
    """Airflow's memory of a task across its tries; ``None`` below Airflow 3.3."""
    return context.get("task_state_store")


def never_expire() -> Any:
    """Retention that outlives Airflow's default of 30 days. Airflow 3.3 and later."""
    from airflow.sdk import NEVER_EXPIRE  # type: ignore[attr-defined]  # missing from Airflow's stub

    return NEVER_EXPIRE


def stats() -> Any:
    """Airflow's metrics: an object with ``incr(name, count, tags=...)``."""
    try:
        module: Any = importlib.import_module("airflow.sdk.observability.stats")
    except ImportError:  # before Airflow 3.2
        module = importlib.import_module("airflow.stats").Stats
    return module


def has_retry_policies() -> bool:
    """Whether tasks can have a ``retry_policy``: Airflow 3.3 and later."""
    try:
        import airflow.sdk.definitions.retry_policy  # noqa: F401
    except ImportError:
        return False
    return True


def set_retry_policy(operator: Any) -> None:
    """Give an operator :class:`KlingRetryPolicy`, where Airflow has such and the author set none."""
    if has_retry_policies() and operator.retry_policy is None:
        from airflow_provider_kling.retry_policy import KlingRetryPolicy

        operator.retry_policy = KlingRetryPolicy()
