"""Buttons on the task page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

#: XCom with the summary of the task, pushed when it is submitted and again when it has ended.
TASK_XCOM_KEY = "kling_task"


class KlingVideoLink(BaseOperatorLink):
    """The finished video. Empty until there is one.

    Airflow computes a link anew after every phase of a task, on a new operator: it is read from an XCom,
    never from the operator.
    """

    name = "Kling video"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Address of the first clip, which Kling keeps for 30 days."""
        task = XCom.get_value(key=TASK_XCOM_KEY, ti_key=ti_key)
        if not isinstance(task, dict):
            return ""
        videos = task.get("videos") or []
        return str(videos[0].get("url") or "") if videos else ""
