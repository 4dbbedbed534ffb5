"""The waiting, in the triggerer. It reads, and buys nothing."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
import weakref
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_kling.exceptions import (
    KlingError,
    KlingTaskError,
    KlingTaskTimeoutError,
)

#: Version of the event; a worker that meets another one must not guess.
EVENT_VERSION = 1


class KlingTaskTrigger(BaseTrigger):
    """Waits for one task and fires one event.

    Its arguments lie in plain text in the metadata database: ids and times, never a key. It may be rebuilt
    from them at any moment, on any machine, even twice at once.

    :param kling_conn_id: the connection.
    :param kling_task_id: Kling's id of the task.
    :param kind: what it makes.
    :param external_task_id: for the log and the event.
    :param poll_interval: seconds between looks.
    :param deadline: seconds since the epoch; a restart does not move it.
    :param model_name: of the video, where it is known.
    """

    def __init__(
        self,
        *,
        kling_conn_id: str = "kling_default",
        kling_task_id: str = "",
        kind: str = "text2video",
        external_task_id: str = "",
        poll_interval: float = 10.0,
        deadline: float = 0.0,
        model_name: str = "",
        **unknown: Any,
    ) -> None:
        # A row written by another version may carry arguments this one does not know.
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in Airflow
        self.kling_conn_id = kling_conn_id
        self.kling_task_id = kling_task_id
        self.kind = kind
        self.external_task_id = external_task_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.model_name = model_name
        self._fired = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "kling_conn_id": self.kling_conn_id,
                "kling_task_id": self.kling_task_id,
                "kind": self.kind,
                "external_task_id": self.external_task_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "model_name": self.model_name,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire one event: ``ended``, ``timeout`` or ``error``."""
        event: dict[str, Any] = {
            "version": EVENT_VERSION,
            "task_id": self.kling_task_id,
            "external_task_id": self.external_task_id,
        }
        try:
            event |= {"outcome": "ended", "task": (await self._ended()).summary()}
        except KlingTaskTimeoutError as e:
            event |= {"outcome": "timeout", "message": str(e)}
        except KlingError as e:
            # Such words are for the time before a purchase; here a video is being made.
            message = str(e).replace("Nothing was bought", "The wait itself bought nothing")
            event |= {"outcome": "error", "message": message, "hopeless": e.hopeless}
        except Exception as e:
            # E.g. the connection was deleted. A retry looks the task up, so nothing is lost.
            self.log.exception("The wait for task %s broke off.", self.kling_task_id)
            event |= {"outcome": "error", "message": f"{type(e).__name__}: {e}", "hopeless": False}
        self._fired = True
        yield TriggerEvent(event)

    async def _ended(self) -> Any:
        """The ``GenerationTask`` when it has ended; each new status is a line in this task's log."""
        hubs = await load_hubs()
        plan = hubs.WaitPlan(self.poll_interval, self.deadline)
        kind = hubs.TaskKind(self.kind)
        news = hubs.watch(self.kling_conn_id, self.kling_task_id, kind, plan, self.model_name)
        async with contextlib.aclosing(news):
            async for item in news:
                if isinstance(item, hubs.Trouble):
                    self.log.warning("Could not look at the task, going on: %s", item.error)
                    continue
                self.log.info("%s", item.described())
                if item.ended:
                    return item
        raise KlingTaskError(f"The wait for task {self.kling_task_id} ended without a result.")

    async def on_kill(self) -> None:
        """Say what goes on (Airflow 3.3 and later; also called when another triggerer takes over)."""
        if not self._fired:
            self.log.info("%s", still_running(self.kling_task_id, self.external_task_id))


_HUBS = "airflow_provider_kling.triggers.hubs"
_loading: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = weakref.WeakKeyDictionary()


async def load_hubs() -> ModuleType:
    """The hubs, imported in a thread: an HTTP client read in on the loop would stall every trigger.

    Once for all triggers that start together: a thousand threads that wait for an import stall it too.
    """
    async with _loading.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
        if _HUBS not in sys.modules:
            await asyncio.to_thread(importlib.import_module, _HUBS)
        return sys.modules[_HUBS]


def still_running(task_id: str, external_task_id: str) -> str:
    """What a killed Airflow task leaves behind at Kling."""
    return (
        f"Kling has no way to cancel: task {task_id} (external id {external_task_id or 'none'}) goes on and "
        "will be billed. Clear this Airflow task to pick its video up, or use KlingTaskSensor with this id."
    )


def task_of_event(event: Any) -> dict[str, Any]:
    """The summary of the task that an event carries.

    :raises KlingTaskTimeoutError: the wait gave up.
    :raises KlingTaskError: the wait failed, or the event is not one of this version's.
    """
    if not isinstance(event, dict) or event.get("version") != EVENT_VERSION:
        raise KlingTaskError(
            f"The trigger's event is not of version {EVENT_VERSION}: {str(event)[:200]}. Was the package "
            "updated on only some machines? A retry picks the video up, nothing is bought again."
        )
    task_id, external_id = str(event.get("task_id", "")), str(event.get("external_task_id", ""))
    if event.get("outcome") == "timeout":
        raise KlingTaskTimeoutError(str(event.get("message")), task_id=task_id, external_task_id=external_id)
    if event.get("outcome") != "ended" or not isinstance(event.get("task"), dict):
        error = KlingTaskError(
            f"The wait for task {task_id} (external id {external_id or 'none'}) failed: "
            f"{event.get('message')} The video may still be made and billed. Once the cause is mended, a "
            "retry or a clear picks it up, nothing is bought again.",
            task_id=task_id,
            external_task_id=external_id,
        )
        error.hopeless = bool(event.get("hopeless"))
        raise error
    summary: dict[str, Any] = event["task"]
    return summary
