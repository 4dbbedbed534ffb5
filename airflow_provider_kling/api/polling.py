"""When to look at a task again: cadence, deadline, what trouble a wait puts up with. No clock, no I/O."""

from __future__ import annotations

import random
from dataclasses import dataclass

from airflow_provider_kling.exceptions import KlingError

#: Seconds before the first look of a trigger. Airflow can lose track of a task whose event fires within
#: seconds of its deferral, and no video is done sooner.
SETTLE_SECONDS = 5.0
#: A wait gives up after this many looks in a row that failed for a reason that waiting does not cure.
HOPELESS_LOOKS = 3
#: Waits between looks are shortened by up to this share, so that a thousand waits do not fall in step.
JITTER = 0.1
#: Seconds between attempts of a worker that waits for a free slot of the account.
SLOT_PAUSE = 15.0
#: Seconds; the longest pause between two attempts that fail, where the service does not ask for more.
MAX_BACKOFF = 60.0
#: Seconds; the longest pause between two looks that a service is given when it asks (``Retry-After``).
MAX_ASKED = 600.0


def backoff(attempt: int, asked: float | None = None) -> float:
    """Seconds to pause after the ``attempt``-th failure in a row (from 1): 1, 2, 4, … with jitter.

    :param asked: what the service asked for (``Retry-After``), taken where it is longer.
    """
    # The exponent is bounded too: a wait of days can count a thousand failures, and 2.0**1024 overflows.
    pause = min(MAX_BACKOFF, 2.0 ** min(attempt - 1, 16))
    return max(_jittered(pause), min(asked or 0.0, MAX_ASKED))


def asks_too_much(asked: float | None) -> bool:
    """Whether a service asks for a longer pause than a worker is held for: better fail, and be retried."""
    return asked is not None and asked > MAX_BACKOFF


def _jittered(seconds: float) -> float:
    return seconds * (1 - JITTER * random.random())  # noqa: S311 - spreads load, guards nothing


@dataclass
class WaitPlan:
    """The wait for one task.

    :param interval: seconds between looks, at most.
    :param deadline: seconds since the epoch at which the wait gives up.
    """

    interval: float
    deadline: float
    failures: int = 0
    hopeless: int = 0
    asked: float | None = None

    def next_pause(self, now: float) -> float | None:
        """Seconds until the next look, or ``None`` when the deadline has passed.

        The last look falls on the deadline, so that a video that was done in time is not missed.
        """
        left = self.deadline - now
        if left <= 0:
            return None
        pause = _jittered(self.interval)
        if self.failures:
            pause = max(pause, backoff(self.failures, self.asked))
        return min(pause, left)

    def looked(self) -> None:
        """Note a look that was answered."""
        self.failures = self.hopeless = 0

    def failed(self, error: KlingError) -> bool:
        """Note a look that failed; true if the wait should go on.

        A failed look says nothing about the video: the service's trouble is waited out. Revoked keys or an
        unknown id are not, after a few looks.
        """
        self.failures += 1
        self.asked = getattr(error, "retry_after", None)
        self.hopeless = self.hopeless + 1 if error.hopeless else 0
        return self.hopeless < HOPELESS_LOOKS
