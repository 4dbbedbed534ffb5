"""The trigger that nobody can undercut: it knows when its video is done, and sleeps until then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent


class IdleTrigger(BaseTrigger):
    """What Airflow itself spends on a trigger, whatever it waits for.

    :param until: seconds since the epoch.
    """

    def __init__(self, until: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in Airflow
        self.until = until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments."""
        return "benchmarks.idle.IdleTrigger", {"until": self.until}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep, then fire."""
        await asyncio.sleep(self.until - time.time())
        yield TriggerEvent(True)
