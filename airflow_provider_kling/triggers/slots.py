"""Who is next when the account has a free slot. First come, first served, within one triggerer.

Kling refuses a create when all slots are taken (1303) and keeps no queue. Here the refused wait, and for each
slot that is seen to be free one of them is woken to try again, not all of them. Kling counts slots for each
model by itself, so those that wait for one model don't stand in the way of those that wait for another.

How many slots there are is nowhere to be read. The account's owner may have said so; it is learned otherwise:
as many as tasks were unfinished when one more was refused. Now and then one is woken though none seems free,
which finds slots that other programs free, and a number that was learned too low.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field

#: Seconds between looks at the account while somebody waits for a slot.
LOOK_SECONDS = 2.0
#: Seconds after a refusal, or after the last such attempt, at which one is woken though no slot seems free.
PROBE_SECONDS = 30.0
#: Seconds that one who was woken has to take the slot, before it counts as free again. Airflow needs some.
TAKE_SECONDS = 60.0


@dataclass(eq=False)
class Queued:
    """One that waits for a slot.

    :param since: seconds since the epoch; kept when it was woken in vain and comes back.
    :param model_name: of the video it would make.
    :param conn_id: of the connection it would use.
    :param ready_at: monotonic seconds before which it is not woken.
    :param woken: set when it should try.
    """

    since: float
    model_name: str = ""
    conn_id: str = ""
    ready_at: float = 0.0
    woken: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class _OnItsWay:
    """One that was woken and has not been heard of again.

    :param since: as it was queued.
    :param woken_at: when.
    :param probe: though no slot seemed free.
    """

    since: float
    woken_at: float
    probe: bool


@dataclass
class _Lane:
    """Those that wait for the slots of one model."""

    waiting: list[Queued] = field(default_factory=list)
    on_their_way: list[_OnItsWay] = field(default_factory=list)
    #: How many unfinished tasks the account had when one more was refused.
    learned: int = 0
    #: One that was woken for a slot that seemed free was refused, since the last look.
    in_vain: bool = False
    #: That has happened: there are fewer than the owner says.
    doubted: bool = False
    #: Tasks that were seen to end since the last look.
    freed: int = 0
    next_probe: float = 0.0

    def join(self, one: Queued, now: float) -> None:
        if not self.waiting:
            self.freed = 0
        # A refusal is as good as a probe that was refused.
        self.next_probe = now + PROBE_SECONDS
        for back in [each for each in self.on_their_way if each.since == one.since]:
            self.on_their_way.remove(back)
            # What a refused probe says was believed before.
            self.in_vain |= not back.probe
            self.doubted |= not back.probe
        self.waiting.append(one)
        self.waiting.sort(key=lambda queued: queued.since)

    def learn(self, unfinished: int, now: float) -> None:
        """How many there may be, from how many there are."""
        if not self.learned:
            self.learned = unfinished
        elif self.in_vain:
            # One less than believed at most: a task may have ended since the refusal.
            self.learned = max(unfinished, self.learned - 1)
        elif unfinished > self.learned:
            # More than believed: perhaps even more.
            self.learned, self.next_probe = unfinished, now
        self.in_vain = False

    def wake(self, free: int, now: float) -> None:
        """Wake those that have waited longest."""
        ready = [one for one in self.waiting if one.ready_at <= now]
        probe = bool(ready) and free <= 0 and now >= self.next_probe
        if probe:
            free, self.next_probe = 1, now + PROBE_SECONDS
        for one in ready[: max(0, free)]:
            self.waiting.remove(one)
            self.on_their_way.append(_OnItsWay(one.since, now, probe))
            one.woken.set()

    def taken(self, now: float) -> None:
        """One of those on their way has a slot."""
        if self.on_their_way and self.on_their_way.pop(0).probe:
            # There was one more than believed: perhaps there are even more.
            self.learned, self.next_probe = self.learned + 1, now


class SlotQueue:
    """Those that wait for a slot of one account. Its clock is monotonic.

    :param quota: how many videos the account may make at once, where its owner says so.
    """

    def __init__(self, quota: int | None = None) -> None:
        self._told = quota
        self._lanes: defaultdict[str, _Lane] = defaultdict(_Lane)
        self._next_look = 0.0

    def __len__(self) -> int:
        return sum(len(lane.waiting) for lane in self._lanes.values())

    @property
    def next_look(self) -> float | None:
        """When to look at the account again; ``None`` if nobody waits."""
        return self._next_look if len(self) else None

    @property
    def connections(self) -> set[str]:
        """Ids of the connections of those that wait."""
        return {one.conn_id for lane in self._lanes.values() for one in lane.waiting}

    def join(self, one: Queued) -> None:
        """Wait, after a refusal."""
        if not len(self):
            self._next_look = 0.0
        self._lanes[one.model_name].join(one, time.monotonic())

    def leave(self, one: Queued) -> None:
        """Wait no longer; who was woken and goes without having tried leaves the slot to the next."""
        lane = self._lanes[one.model_name]
        if one in lane.waiting:
            lane.waiting.remove(one)
        else:
            lane.on_their_way = [each for each in lane.on_their_way if each.since != one.since]

    def taken(self, model_name: str) -> None:
        """A task of this model is waited for: one that was woken has taken its slot.

        :param model_name: empty where it is not known, as of a task that something else has submitted.
        """
        if model_name:
            self._lanes[model_name].taken(time.monotonic())

    def freed(self, model_name: str) -> None:
        """A task was seen to end: look at the account at once.

        :param model_name: empty where it is not known: then it may be anybody's slot.
        """
        self._next_look = 0.0
        for name, lane in self._lanes.items():
            lane.freed += model_name in ("", name)

    def look(self, unfinished: int | None) -> None:
        """Wake as many as there are free slots.

        :param unfinished: tasks of the account that have not ended; ``None`` where the host lists none.
        """
        now = time.monotonic()
        self._next_look = now + LOOK_SECONDS
        for lane in self._lanes.values():
            lane.on_their_way = [each for each in lane.on_their_way if each.woken_at > now - TAKE_SECONDS]
        waiting = [lane for lane in self._lanes.values() if lane.waiting]
        for lane in sorted(waiting, key=lambda lane: lane.waiting[0].since):
            free, lane.freed = lane.freed, 0
            if unfinished is not None:
                lane.learn(unfinished, now)
                free = self._free(lane, unfinished)
            lane.wake(free, now)

    def wake_all(self, conn_id: str) -> None:
        """Let all of a connection try, whether or not there is a slot: it is not slots that they lack."""
        for lane in self._lanes.values():
            for one in [one for one in lane.waiting if one.conn_id == conn_id]:
                lane.waiting.remove(one)
                one.woken.set()

    def _free(self, lane: _Lane, unfinished: int) -> int:
        learned = lane.learned - unfinished - len(lane.on_their_way)
        if self._told is None:
            return learned
        # The owner's number is for the whole account.
        told = self._told - unfinished - sum(len(each.on_their_way) for each in self._lanes.values())
        return min(told, learned) if lane.doubted else told
