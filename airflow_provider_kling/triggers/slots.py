"""Who is next when the account has a free slot. First come, first served, within one triggerer.

Kling refuses a create when all slots are taken (1303) and keeps no queue. Here the refused wait, and for each
slot that is seen to be free one of them is woken to try again, not all of them.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

#: Seconds between looks at the account while somebody waits for a slot.
LOOK_SECONDS = 2.0
#: Seconds after which one is woken though no free slot was seen: other programs may have freed one.
BLIND_SECONDS = 30.0
#: Seconds that one who was woken has to take the slot, before it counts as free again.
TAKE_SECONDS = 20.0


@dataclass(eq=False, order=False)
class Queued:
    """One that waits for a slot.

    :param since: seconds since the epoch; kept when it was woken in vain and comes back.
    :param woken: set when it should try.
    """

    since: float
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class SlotQueue:
    """Those that wait for a slot of one account.

    :param quota: how many slots the account has, where its owner says so; else it is learned: when the
        service refuses, all slots are taken.
    """

    def __init__(self, quota: int | None = None) -> None:
        self._told = quota
        self._learned = 0
        self._refused = False
        self._freed = 0
        self._waiting: list[Queued] = []
        #: When each of those was woken that have not been seen since.
        self._on_their_way: deque[float] = deque()
        self._last_wake = 0.0
        self._next_look = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def next_look(self) -> float | None:
        """When to look at the account again; ``None`` if nobody waits."""
        return self._next_look if self._waiting else None

    def join(self, since: float) -> Queued:
        """Wait, after a refusal."""
        one = Queued(since)
        if not self._waiting:
            self._last_wake = time.time()
            self._next_look = 0.0
        self._waiting.append(one)
        self._waiting.sort(key=lambda queued: queued.since)
        self._refused = True
        self.taken()
        return one

    def leave(self, one: Queued) -> None:
        """Wait no longer."""
        if one in self._waiting:
            self._waiting.remove(one)

    def taken(self) -> None:
        """One that was woken has been heard of: it has a task now, or is back in the queue."""
        if self._on_their_way:
            self._on_their_way.popleft()

    def freed(self) -> None:
        """A task was seen to end: look at the account at once."""
        self._next_look = 0.0
        self._freed += 1

    def look(self, unfinished: int | None) -> None:
        """Wake as many as there are free slots.

        :param unfinished: tasks of the account that have not ended; ``None`` where the host lists none.
        """
        now = time.time()
        self._next_look = now + LOOK_SECONDS
        while self._on_their_way and self._on_their_way[0] < now - TAKE_SECONDS:
            self._on_their_way.popleft()
        if not self._waiting:
            return
        free, self._freed = self._freed, 0
        if unfinished is not None:
            if self._refused:
                # One less than believed at most: a task may have ended since the refusal.
                self._learned = max(unfinished, self._learned - 1)
                self._refused = False
            self._learned = max(self._learned, unfinished)
            free = (self._told or self._learned) - unfinished - len(self._on_their_way)
        if free <= 0 and now - self._last_wake >= BLIND_SECONDS:
            free = 1
        for one in self._waiting[: max(0, free)]:
            self._wake(one, now)

    def _wake(self, one: Queued, now: float) -> None:
        self._waiting.remove(one)
        self._on_their_way.append(now)
        self._last_wake = now
        one.woken.set()
