"""What decides for ``apache-airflow-providers-http`` whether a video is done. Read anew at every look."""

from __future__ import annotations

from typing import Any


async def ended(response: Any) -> bool:
    """The check of an ``HttpEventTrigger``."""
    return is_ended(response)


def is_ended(response: Any) -> bool:
    """The check of an ``HttpSensor``."""
    return response.json()["data"]["task_status"] in ("succeed", "failed")
