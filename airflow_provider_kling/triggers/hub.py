"""One poll for many waiting triggers: all that wait on the same account share a hub, which asks for all.

A hub lives on one event loop, from its first waiter to its last. What it knows is a cache: triggers come and
go, are cancelled, rebuilt, and live in several triggerers at once. It reads, and buys nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import importlib
import logging
import time
import weakref
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from airflow_provider_kling.api import flows, polling
from airflow_provider_kling.api.auth import AccessKeyAuth
from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.api.client import AsyncKlingClient
from airflow_provider_kling.api.looking import Offers, Seen, look
from airflow_provider_kling.api.polling import WaitPlan
from airflow_provider_kling.api.tasks import GenerationTask, TaskStatus
from airflow_provider_kling.exceptions import KlingAPIError, KlingTaskNotFoundError
from airflow_provider_kling.hooks.connection import KlingConnection
from airflow_provider_kling.hooks.kling import KlingHook
from airflow_provider_kling.triggers.slots import SlotQueue

log = logging.getLogger(__name__)

# What the HTTP client would read in with its first request, on the event loop.
importlib.import_module("anyio._backends._asyncio")

#: Waiters that are due within this share of their interval are asked for together.
TOGETHER = 0.25
#: Requests under way at once when tasks are asked for one by one.
SINGLES_AT_ONCE = 8
#: Seconds for which a connection that was read serves further waiters.
CONNECTION_SECONDS = 30.0


@dataclass(frozen=True)
class Trouble:
    """The first of several looks in a row that failed; the wait goes on."""

    error: KlingAPIError


class Moved:
    """The connection has other credentials now: the wait goes on in another hub."""


@dataclass(eq=False)
class Waiter:
    """One trigger that waits for one task.

    :param not_before: seconds since the epoch before which no end is told (see ``SETTLE_SECONDS``).
    :param next_look: seconds since the epoch.
    :param news: each new status; trouble; or the exception that ends the wait.
    """

    task_id: str
    plan: WaitPlan
    conn_id: str
    not_before: float
    next_look: float
    last: TaskStatus | None = None
    trouble: KlingAPIError | None = None
    news: asyncio.Queue[GenerationTask | Trouble | Moved | Exception] = field(default_factory=asyncio.Queue)


class Hub:
    """The poll of one account and kind.

    :param connection: address, credentials and limits.
    :param kind: what the tasks make.
    :param read_again: reads a connection anew.
    """

    def __init__(
        self,
        connection: KlingConnection,
        kind: TaskKind,
        read_again: Callable[[str], Awaitable[KlingConnection]],
    ) -> None:
        self.connection = connection
        self.kind = kind
        #: Triggers that hold on to this hub.
        self.guests = 0
        self._read_again = read_again
        self.offers = Offers(tasks_route=not isinstance(connection.client.auth, AccessKeyAuth))
        self.waiters: dict[str, set[Waiter]] = defaultdict(set)
        self.slots = SlotQueue(connection.max_concurrency)
        self._failures = 0
        self._quiet_until = 0.0
        self._changed = asyncio.Event()
        self._singles = asyncio.Semaphore(SINGLES_AT_ONCE)
        self._next_single = 0.0
        # In an empty context: what a hub logs must not land in the task log of whoever came first.
        self._task = contextvars.Context().run(asyncio.ensure_future, self._run())

    def add(self, waiter: Waiter) -> None:
        """Begin to ask for a task."""
        self.waiters[waiter.task_id].add(waiter)
        self.slots.taken()
        self._changed.set()

    def hurry(self) -> None:
        """Look at the plan again: somebody has joined ``slots``."""
        self._changed.set()

    def remove(self, waiter: Waiter) -> None:
        """Stop asking for it, if nobody else waits for it."""
        mates = self.waiters.get(waiter.task_id, set())
        mates.discard(waiter)
        if not mates:
            self.waiters.pop(waiter.task_id, None)

    def close(self) -> None:
        """End the poll."""
        self._task.cancel()

    async def _run(self) -> None:
        async with AsyncKlingClient(self.connection.client) as client:
            while True:
                due_at = self._due_at()
                if due_at is None or due_at > time.time():
                    self._changed.clear()
                    pause = None if due_at is None else due_at - time.time()
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), pause)
                    continue
                try:
                    await self._round(client)
                except Exception as e:  # a bug here must not leave a thousand triggers waiting for nobody
                    log.exception("The poll of %s broke off.", self.connection.client.base_url)
                    for waiter in self._all():
                        waiter.news.put_nowait(e)
                    await asyncio.sleep(polling.SETTLE_SECONDS)

    def _all(self) -> list[Waiter]:
        return [waiter for mates in self.waiters.values() for waiter in mates]

    def _due_at(self) -> float | None:
        """When to look next: the earliest look of a waiter, but not while the host asks for quiet."""
        looks = [waiter.next_look for waiter in self._all()]
        if (slots_at := self.slots.next_look) is not None:
            looks.append(slots_at)
        return max(min(looks), self._quiet_until) if looks else None

    async def _round(self, client: AsyncKlingClient) -> None:
        now = time.time()
        due = {w for w in self._all() if w.next_look <= now + TOGETHER * w.plan.interval}
        wanted = {w.task_id for w in due}
        counting = bool(self.slots)
        seen: set[str] = set()

        def note(task: GenerationTask) -> None:
            seen.update((task.task_id, task.external_task_id))
            self._tell(task)

        try:
            flow = look(wanted, self.kind, self.offers, note, also=self.waiters.keys(), count=counting)
            await self._one_by_one(client, await client.run(flow), note)
            self._failures = 0
        except KlingAPIError as e:
            await self._trouble(e, {w for w in due if w.task_id not in seen})
        else:
            await asyncio.sleep(0)
            self._settle(due)
        self.slots.look(self.offers.unfinished if counting else None)

    async def _one_by_one(self, client: AsyncKlingClient, names: list[str], note: Seen) -> None:
        async def ask(name: str) -> None:
            async with self._singles:
                await self._pace()
                try:
                    note(await client.run(flows.get_task(name, self.kind, attempts=1)))
                except KlingAPIError as e:
                    if not e.hopeless:
                        raise
                    await self._trouble(e, self.waiters.get(name, set()).copy())

        results = await asyncio.gather(*(ask(name) for name in names), return_exceptions=True)
        for error in results:
            if isinstance(error, BaseException):
                raise error

    async def _pace(self) -> None:
        """Hold singles to the connection's ``max_qps`` together."""
        now = time.time()
        at = max(now, self._next_single)
        self._next_single = at + 1 / self.connection.max_qps
        await asyncio.sleep(at - now)

    def _tell(self, task: GenerationTask) -> None:
        """Pass a task on to those that wait for it."""
        names = {task.task_id, task.external_task_id} & self.waiters.keys()
        for waiter in [w for name in names for w in self.waiters[name]]:
            waiter.plan.looked()
            waiter.trouble = None
            waiter.next_look = time.time() + (waiter.plan.next_pause(time.time()) or 0.0)
            if task.status is waiter.last:
                continue
            waiter.last = task.status
            if not task.ended:
                waiter.news.put_nowait(task)
                continue
            self.remove(waiter)
            self.slots.freed()
            pause = max(0.0, waiter.not_before - time.time())
            asyncio.get_running_loop().call_later(pause, waiter.news.put_nowait, task)

    async def _trouble(self, error: KlingAPIError, touched: set[Waiter]) -> None:
        """A look failed: the whole hub pauses, and nobody gives up before its own deadline."""
        if not error.hopeless:
            self._failures += 1
            self._quiet_until = time.time() + polling.backoff(self._failures, error.retry_after)
            log.warning("%s: looks fail, going on (%s)", self.connection.client.base_url, error)
        elif not isinstance(error, KlingTaskNotFoundError):
            await self._move_to_new_keys(touched)
        for waiter in touched:
            if waiter.trouble is None:
                waiter.news.put_nowait(Trouble(error))
            waiter.trouble = error
            if not waiter.plan.failed(error):
                self.remove(waiter)
                waiter.news.put_nowait(error)
        self._settle(touched)

    async def _move_to_new_keys(self, touched: set[Waiter]) -> None:
        """The credentials are refused: waiters whose connection has other ones by now go on with those."""
        for conn_id in {waiter.conn_id for waiter in touched}:
            try:
                moved = (await self._read_again(conn_id)).account != self.connection.account
            except Exception as e:  # e.g. the connection was deleted: what was read is all there is
                log.warning("Connection %r can't be read again: %s", conn_id, e)
                continue
            for waiter in [w for w in touched if moved and w.conn_id == conn_id]:
                touched.discard(waiter)
                self.remove(waiter)
                waiter.news.put_nowait(Moved())

    def _settle(self, touched: Iterable[Waiter]) -> None:
        """Set the next look of those that still wait; a look on the deadline was the last one."""
        now = time.time()
        for waiter in touched:
            if waiter not in self.waiters.get(waiter.task_id, ()):
                continue
            pause = waiter.plan.next_pause(now)
            if pause is None:
                self.remove(waiter)
                waiter.news.put_nowait(flows.timed_out(waiter.task_id, waiter.last, waiter.trouble))
            elif waiter.next_look <= now:
                waiter.next_look = now + pause


class Hubs:
    """The hubs of one event loop."""

    def __init__(self) -> None:
        self.hubs: dict[tuple[str, str, TaskKind], Hub] = {}
        self._connections: dict[str, tuple[float, KlingConnection]] = {}
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def connection(self, conn_id: str, not_older: float = CONNECTION_SECONDS) -> KlingConnection:
        """Read a connection; for a thousand triggers that start together, once.

        :param not_older: seconds since it was read.
        """
        async with self._locks[conn_id]:
            read_at, connection = self._connections.get(conn_id, (0.0, None))
            if connection is None or time.monotonic() - read_at >= not_older:
                connection = await KlingHook(kling_conn_id=conn_id).aread_connection()
                self._connections[conn_id] = time.monotonic(), connection
            return connection

    async def _read_again(self, conn_id: str) -> KlingConnection:
        return await self.connection(conn_id, 0.0)

    @contextlib.asynccontextmanager
    async def hub(self, conn_id: str, kind: TaskKind) -> AsyncIterator[Hub]:
        """The hub for a connection; the last to leave it closes it."""
        connection = await self.connection(conn_id)
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
                hub.close()


_of_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hubs] = weakref.WeakKeyDictionary()


def hubs() -> Hubs:
    """The hubs of the running loop; ``dag.test()`` makes a loop for each trigger."""
    return _of_loop.setdefault(asyncio.get_running_loop(), Hubs())


async def watch(
    conn_id: str, task_id: str, kind: TaskKind, plan: WaitPlan
) -> AsyncIterator[GenerationTask | Trouble]:
    """Each new status of a task, until it has ended; and trouble on the way, when it begins.

    :raises KlingTaskTimeoutError: the plan's deadline passed.
    :raises KlingAPIError: the look-ups are refused, and waiting will not change that.
    """
    now = time.time()
    settled = now + polling.SETTLE_SECONDS
    first_look = min(now + plan.interval, max(now, plan.deadline))
    while True:
        async with hubs().hub(conn_id, kind) as hub:
            waiter = Waiter(task_id, plan, conn_id, settled, first_look)
            hub.add(waiter)
            try:
                while not isinstance(news := await waiter.news.get(), Moved):
                    if isinstance(news, Exception):
                        raise news
                    yield news
                    if isinstance(news, GenerationTask) and news.ended:
                        return
            finally:
                hub.remove(waiter)
        first_look = time.time()


async def slot_freed(conn_id: str, kind: TaskKind, since: float, deadline: float) -> bool:
    """Wait until the account seems to have a free slot and it is this one's turn; false at the deadline.

    :param since: seconds since the epoch; the longest wait is served first.
    """
    async with hubs().hub(conn_id, kind) as hub:
        queued = hub.slots.join(since)
        hub.hurry()
        try:
            await asyncio.wait_for(queued.woken.wait(), max(0.0, deadline - time.time()))
        except asyncio.TimeoutError:
            return False
        finally:
            hub.slots.leave(queued)
        return True
