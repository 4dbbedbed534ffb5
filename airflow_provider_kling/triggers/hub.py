"""One poll for many waiting triggers: all that wait on the same account share a hub, which asks for all.

A hub lives on one event loop, from its first waiter to its last (see ``hubs.py``). What it knows is a cache:
triggers come and go, are cancelled, rebuilt, and live in several triggerers at once. It reads, and buys
nothing. Its clock is monotonic; deadlines, which outlive a process, are seconds since the epoch.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import importlib
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from airflow_provider_kling.api import flows, polling
from airflow_provider_kling.api.auth import AccessKeyAuth
from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.api.client import AsyncKlingClient
from airflow_provider_kling.api.looking import Offers, look
from airflow_provider_kling.api.polling import WaitPlan
from airflow_provider_kling.api.tasks import GenerationTask, TaskStatus
from airflow_provider_kling.exceptions import KlingAPIError, KlingError, KlingTaskNotFoundError
from airflow_provider_kling.hooks.connection import KlingConnection
from airflow_provider_kling.triggers.slots import SlotQueue

log = logging.getLogger(__name__)

# What the HTTP client would read in with its first request, on the event loop.
importlib.import_module("anyio._backends._asyncio")

#: Waiters that are due within this share of their interval are asked for together.
TOGETHER = 0.25
#: Requests under way at once when tasks are asked for one by one.
SINGLES_AT_ONCE = 8
#: Seconds for which it is believed what a host does not offer: it may have been a proxy that said so.
OFFERS_SECONDS = 600.0


@dataclass(frozen=True)
class Trouble:
    """The first of several looks in a row that failed; the wait goes on."""

    error: KlingError


class Moved:
    """The connection has other credentials now: the wait goes on in another hub."""


@dataclass(eq=False)
class Waiter:
    """One trigger that waits for one task.

    :param not_before: before which no end is told (see ``SETTLE_SECONDS``).
    :param next_look: when.
    :param model_name: of the video, where it is known: whose slot it holds.
    :param news: each new status; trouble; or the exception that ends the wait.
    """

    task_id: str
    plan: WaitPlan
    conn_id: str
    not_before: float
    next_look: float
    model_name: str = ""
    last: TaskStatus | None = None
    trouble: KlingError | None = None
    news: asyncio.Queue[GenerationTask | Trouble | Moved | Exception] = field(default_factory=asyncio.Queue)

    def give_up(self) -> None:
        """End the wait at its deadline."""
        self.news.put_nowait(flows.timed_out(self.task_id, self.last, self.trouble))


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
        self.waiters: dict[str, set[Waiter]] = defaultdict(set)
        self.slots = SlotQueue(connection.max_concurrency)
        self.offers = Offers()
        self._offers_end = 0.0
        self._read_again = read_again
        self._failures = 0
        self._quiet_until = 0.0
        self._closed = False
        self._changed = asyncio.Event()
        self._singles = asyncio.Semaphore(SINGLES_AT_ONCE)
        self._next_single = 0.0
        # Here, where whoever comes first is told what is wrong with proxy or certificates.
        self._client = AsyncKlingClient(connection.client)
        # In an empty context: what a hub logs must not land in the task log of whoever came first.
        self._task = contextvars.Context().run(asyncio.ensure_future, self._run())

    def add(self, waiter: Waiter) -> None:
        """Begin to ask for a task."""
        self.waiters[waiter.task_id].add(waiter)
        self.slots.taken(waiter.model_name)
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

    async def close(self) -> None:
        """End the poll, and wait until its connections are closed: the loop may end right after."""
        # A cancellation alone can get lost in wait_for, on Python before 3.12.
        self._closed = True
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        async with self._client:
            while not self._closed:
                due_at = self._due_at()
                if due_at is None or due_at > time.monotonic():
                    self._changed.clear()
                    pause = None if due_at is None else due_at - time.monotonic()
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), pause)
                    continue
                try:
                    await self._round()
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

    async def _round(self) -> None:
        now = time.monotonic()
        if now >= self._offers_end:
            self.offers = Offers(tasks_route=not isinstance(self.connection.client.auth, AccessKeyAuth))
            self._offers_end = now + OFFERS_SECONDS
        due = {w for w in self._all() if w.next_look <= now + TOGETHER * w.plan.interval}
        wanted = {w.task_id for w in due}
        counting = bool(self.slots)
        seen: set[str] = set()

        def note(task: GenerationTask, asked_for: str = "") -> None:
            names = {task.task_id, task.external_task_id, asked_for}
            seen.update(names)
            self._tell(task, names)

        try:
            flow = look(wanted, self.kind, self.offers, note, also=self.waiters.keys(), count=counting)
            await self._one_by_one(await self._client.run(flow), note)
            self._failures = 0
        except KlingAPIError as e:
            await self._trouble(e, {w for w in due if w.task_id not in seen})
        else:
            await asyncio.sleep(0)
            self._settle(due)
        if counting:
            self.slots.look(self.offers.unfinished)

    async def _one_by_one(self, names: Iterable[str], note: Callable[[GenerationTask, str], None]) -> None:
        troubles: list[Exception] = []

        async def ask(name: str) -> None:
            async with self._singles:
                await self._pace()
                # Once the host has trouble or wants quiet, the rest would only add to it.
                if troubles or name not in self.waiters:
                    return
                try:
                    # The id that was asked for counts too: a relay may find by external id and not repeat it.
                    note(await self._client.run(flows.get_task(name, self.kind, attempts=1)), name)
                except KlingError as e:
                    if e.hopeless:
                        await self._trouble(e, self.waiters.get(name, set()).copy())
                    else:
                        troubles.append(e)

        await asyncio.gather(*(ask(name) for name in names))
        if troubles:
            raise troubles[0]

    async def _pace(self) -> None:
        """Hold singles to the connection's ``max_qps`` together."""
        now = time.monotonic()
        at = max(now, self._next_single)
        self._next_single = at + 1 / self.connection.max_qps
        await asyncio.sleep(at - now)

    def _tell(self, task: GenerationTask, names: set[str]) -> None:
        """Pass a task on to those that wait for it, under one of its names."""
        now = time.monotonic()
        for waiter in [w for name in names & self.waiters.keys() for w in self.waiters[name]]:
            waiter.plan.looked()
            waiter.trouble = None
            waiter.next_look = now + (waiter.plan.next_pause(time.time()) or 0.0)
            if task.status is waiter.last:
                continue
            waiter.last = task.status
            if not task.ended:
                waiter.news.put_nowait(task)
                continue
            self.remove(waiter)
            self.slots.freed(waiter.model_name)
            pause = max(0.0, waiter.not_before - now)
            asyncio.get_running_loop().call_later(pause, waiter.news.put_nowait, task)

    async def _trouble(self, error: KlingError, touched: set[Waiter]) -> None:
        """A look failed: the whole hub pauses, and nobody gives up before its own deadline."""
        refused = error.hopeless and not isinstance(error, KlingTaskNotFoundError)
        if refused or not error.hopeless:
            self._failures += 1
            asked = getattr(error, "retry_after", None)
            self._quiet_until = time.monotonic() + polling.backoff(self._failures, asked)
            log.warning("%s: looks fail, going on (%s)", self.connection.client.base_url, error)
        if refused:
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
        """The credentials are refused: those whose connection has other ones by now go on with those.

        Who waits for a slot tries with what there is, once it is clear that looking leads nowhere: the
        worker's own attempt says best what is wrong.
        """
        for conn_id in {waiter.conn_id for waiter in touched} | self.slots.connections:
            try:
                moved = (await self._read_again(conn_id)).account != self.connection.account
            except Exception as e:  # e.g. the connection was deleted: what was read is all there is
                log.warning("Connection %r can't be read again: %s", conn_id, e)
                moved = False
            if moved or self._failures >= polling.HOPELESS_LOOKS:
                self.slots.wake_all(conn_id)
            for waiter in [w for w in touched if moved and w.conn_id == conn_id]:
                touched.discard(waiter)
                self.remove(waiter)
                waiter.news.put_nowait(Moved())

    def _settle(self, touched: Iterable[Waiter]) -> None:
        """Set the next look of those that still wait; a look on the deadline was the last one."""
        now = time.monotonic()
        for waiter in touched:
            if waiter not in self.waiters.get(waiter.task_id, ()):
                continue
            pause = waiter.plan.next_pause(time.time())
            if pause is None:
                self.remove(waiter)
                waiter.give_up()
            elif waiter.next_look <= now:
                waiter.next_look = now + pause
