"""Buttons on the task page."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

#: XCom with the summary of the task, pushed when it is submitted and again when it has ended.
TASK_XCOM_KEY = "kling_task"


class KlingVideoLink(BaseOperatorLink):
    """The finished video: the landed copy where a browser reaches it, else Kling's while Kling has it.

    Empty until there is one. The Kling console has no documented address for a single task, so there is no
    link to it.

    Airflow computes a link anew after every phase of a task, on a new operator: it is read from an XCom,
    never from the operator.
    """

    name = "Kling video"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Address of the first clip."""
        task = XCom.get_value(key=TASK_XCOM_KEY, ti_key=ti_key)
        if not isinstance(task, dict):
            return ""
        videos = task.get("videos") or []
        if not videos:
            return ""
        if path := _web(videos[0].get("path")):
            return path
        return "" if _passed(task.get("expires_at")) else _web(videos[0].get("url"))


def _web(address: Any) -> str:
    """An address that a browser may follow, else empty: a relay may answer with ``javascript:`` too."""
    text = str(address or "")
    return text if text.lower().startswith(("http://", "https://")) else ""


def _passed(moment: Any) -> bool:
    try:
        return datetime.fromisoformat(moment) < datetime.now(timezone.utc)
    except (TypeError, ValueError):
        return False
