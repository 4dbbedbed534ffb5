"""Waiting for a free slot of the account, in the triggerer. It reads, and buys nothing: the worker does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_kling.api import polling
from airflow_provider_kling.exceptions import KlingTaskError
from airflow_provider_kling.triggers.task import EVENT_VERSION, load_hubs


class KlingSlotTrigger(BaseTrigger):
    """Waits until it is this task's turn to submit, and fires one event.

    :param kling_conn_id: the connection.
    :param kind: what is to be made.
    :param model_name: with which model; Kling counts slots for each.
    :param since: seconds since the epoch of the first refusal: who waits longest is served first.
    :param deadline: seconds since the epoch at which the wait gives up.
    """

    def __init__(
        self,
        *,
        kling_conn_id: str = "kling_default",
        kind: str = "text2video",
        model_name: str = "",
        since: float = 0.0,
        deadline: float = 0.0,
        **unknown: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in Airflow
        self.kling_conn_id = kling_conn_id
        self.kind = kind
        self.model_name = model_name
        self.since = since
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "kling_conn_id": self.kling_conn_id,
                "kind": self.kind,
                "model_name": self.model_name,
                "since": self.since,
                "deadline": self.deadline,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire one event: it is time to try, whether or not a slot was seen to be free.

        Trouble while waiting fires as well: the worker's own attempt says best what is wrong.
        """
        event = {"version": EVENT_VERSION, "since": self.since, "deadline": self.deadline}
        try:
            hubs = await load_hubs()
            event["freed"] = await hubs.slot_freed(
                self.kling_conn_id, hubs.TaskKind(self.kind), self.since, self.deadline, self.model_name
            )
        except Exception as e:
            self.log.warning("The wait for a free slot broke off: %s", e)
            # Else a worker that is refused again would be sent back and forth as fast as Airflow can.
            await asyncio.sleep(min(polling.SLOT_PAUSE, max(0.0, self.deadline - time.time())))
        yield TriggerEvent(event)


def times_of_event(event: Any) -> tuple[float, float]:
    """Since when this task waits for a slot, and until when; seconds since the epoch.

    :raises KlingTaskError: the event is not one of this version's.
    """
    known = isinstance(event, dict) and event.get("version") == EVENT_VERSION
    if not known or not {"since", "deadline"} <= event.keys():
        raise KlingTaskError(
            f"The trigger's event is not of version {EVENT_VERSION}: {str(event)[:200]}. Was the package "
            "updated on only some machines? Nothing was bought yet; a retry submits."
        )
    return float(event["since"]), float(event["deadline"])
