"""The hubs of an event loop, and the two waits of triggers: for a task's end, and for a slot."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import weakref
from collections import defaultdict
from collections.abc import AsyncIterator

from airflow_provider_kling.api import polling
from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.api.polling import WaitPlan
from airflow_provider_kling.api.tasks import GenerationTask
from airflow_provider_kling.exceptions import KlingError, KlingInputError
from airflow_provider_kling.hooks.connection import KlingConnection
from airflow_provider_kling.hooks.kling import KlingHook
from airflow_provider_kling.triggers.hub import Hub, Moved, Trouble, Waiter
from airflow_provider_kling.triggers.slots import Queued

log = logging.getLogger(__name__)

#: Seconds for which a connection that was read serves further waiters, and one that could not be read is not
#: tried again.
CONNECTION_SECONDS = 30.0
UNREADABLE_SECONDS = 2.0
#: Seconds after its deadline at which a wait ends even if its hub is still busy: well before Airflow's own
#: timeout, which would skip what the message says.
LATE_SECONDS = 30.0


class Hubs:
    """The hubs of one event loop."""

    def __init__(self) -> None:
        self.hubs: dict[tuple[str, str, TaskKind], Hub] = {}
        self._connections: dict[str, tuple[float, KlingConnection | Exception]] = {}
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def connection(self, conn_id: str, not_older: float = CONNECTION_SECONDS) -> KlingConnection:
        """Read a connection; for a thousand triggers that start together, once.

        :param not_older: seconds since it was read.
        """
        async with self._locks[conn_id]:
            read_at, connection = self._connections.get(conn_id, (0.0, None))
            age = time.monotonic() - read_at
            if isinstance(connection, Exception) and age < UNREADABLE_SECONDS:
                raise connection.with_traceback(None)
            if not isinstance(connection, KlingConnection) or age >= not_older:
                try:
                    connection = await KlingHook(kling_conn_id=conn_id).aread_connection()
                except Exception as e:
                    self._connections[conn_id] = time.monotonic(), e
                    raise
                self._connections[conn_id] = time.monotonic(), connection
            return connection

    async def _read_again(self, conn_id: str) -> KlingConnection:
        return await self.connection(conn_id, 0.0)

    @contextlib.asynccontextmanager
    async def hub(self, conn_id: str, kind: TaskKind, deadline: float) -> AsyncIterator[Hub]:
        """The hub for a connection; the last to leave it closes it.

        :param deadline: seconds since the epoch until which a connection that can't be read is tried again.
        """
        connection = await self._connection_by(conn_id, deadline)
        key = (*connection.account, kind)
        hub = self.hubs.get(key)
        if hub is None:
            hub = self.hubs[key] = Hub(connection, kind, self._read_again)
        hub.guests += 1
        try:
            yield hub
        finally:
            hub.guests -= 1
            if not hub.guests:
                del self.hubs[key]
                await hub.close()

    async def _connection_by(self, conn_id: str, deadline: float) -> KlingConnection:
        """Airflow's database or a secrets backend may be away for a while; a mistake stays one."""
        attempt = 0
        while True:
            try:
                return await self.connection(conn_id)
            except KlingError:
                raise
            except Exception as e:
                attempt += 1
                pause = max(UNREADABLE_SECONDS, polling.backoff(attempt))
                if time.time() + pause >= deadline:
                    raise
                log.warning("Connection %r can't be read, trying again: %s", conn_id, e)
                await asyncio.sleep(pause)


_of_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hubs] = weakref.WeakKeyDictionary()


def hubs() -> Hubs:
    """The hubs of the running loop; ``dag.test()`` makes a loop for each trigger."""
    return _of_loop.setdefault(asyncio.get_running_loop(), Hubs())


async def watch(
    conn_id: str, task_id: str, kind: TaskKind, plan: WaitPlan, model_name: str = ""
) -> AsyncIterator[GenerationTask | Trouble]:
    """Each new status of a task, until it has ended; and trouble on the way, when it begins.

    :param model_name: of the video, where it is known.
    :raises KlingInputError: the id is empty, or the connection is not usable.
    :raises KlingTaskTimeoutError: the plan's deadline passed.
    :raises KlingAPIError: the look-ups are refused, and waiting will not change that.
    """
    if not task_id.strip():
        raise KlingInputError("task_id: it must not be empty. Nothing was bought.")
    settled = time.monotonic() + polling.SETTLE_SECONDS
    pause = min(plan.interval, max(0.0, plan.deadline - time.time()))
    while True:
        async with hubs().hub(conn_id, kind, plan.deadline) as hub:
            waiter = Waiter(
                task_id.strip(), plan, conn_id, settled, time.monotonic() + pause, model_name=model_name
            )
            hub.add(waiter)
            left = max(0.0, plan.deadline - time.time())
            late = asyncio.get_running_loop().call_later(left + LATE_SECONDS, waiter.give_up)
            try:
                while not isinstance(news := await waiter.news.get(), Moved):
                    if isinstance(news, Exception):
                        # Perhaps not only this one's: each raise would add to what it carries.
                        raise news.with_traceback(None)
                    yield news
                    if isinstance(news, GenerationTask) and news.ended:
                        return
            finally:
                late.cancel()
                hub.remove(waiter)
        pause = 0.0


async def slot_freed(
    conn_id: str, kind: TaskKind, since: float, deadline: float, model_name: str = ""
) -> bool:
    """Wait until the account seems to have a free slot and it is this one's turn; false at the deadline.

    :param since: seconds since the epoch; the longest wait is served first.
    :param model_name: of the video that is to be made.
    """
    settled = time.monotonic() + polling.SETTLE_SECONDS
    async with hubs().hub(conn_id, kind, deadline) as hub:
        queued = Queued(since, model_name, conn_id, settled)
        hub.slots.join(queued)
        hub.hurry()
        try:
            await asyncio.wait_for(queued.woken.wait(), max(0.0, deadline - time.time()))
        except asyncio.TimeoutError:
            hub.slots.leave(queued)
            return False
        except asyncio.CancelledError:
            hub.slots.leave(queued)
            raise
        return True
