"""Buttons on the task page."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey

#: XCom with the summary of the task, pushed when it is submitted and again when it has ended.
TASK_XCOM_KEY = "kling_task"

# Airflow asks for the links after every phase of a task, also when it failed or was deferred before there was
# anything to push, and logs the read of an XCom that is not there as an error. So an operator notes on itself
# what it knows: False is "not pushed in this try", True is "pushed", and one without the note (resumed after
# the phase that pushed, or made by the webserver) has to look.
_PUSHED = "_kling_task_pushed"


def nothing_pushed_yet(operator: BaseOperator) -> None:
    """Note, at the start of a phase before which nothing was pushed, that there is no XCom to read."""
    setattr(operator, _PUSHED, False)


def push_task(operator: BaseOperator, context: Context, summary: dict[str, Any]) -> None:
    """Keep the summary of a task where the link finds it."""
    context["ti"].xcom_push(key=TASK_XCOM_KEY, value=summary)
    setattr(operator, _PUSHED, True)


class KlingVideoLink(BaseOperatorLink):
    """The finished video: the landed copy where a browser reaches it, else Kling's while Kling has it.

    Empty until there is one. The Kling console has no documented address for a single task, so there is no
    link to it.

    Airflow computes a link anew after every phase of a task, on a new operator: the task is read from an
    XCom, never from the operator.
    """

    name = "Kling video"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Address of the first clip."""
        if getattr(operator, _PUSHED, None) is False:
            return ""
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
