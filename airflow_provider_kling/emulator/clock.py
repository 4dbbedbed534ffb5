"""Time as the emulator sees it, so that a test can move it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Anything that tells seconds since the epoch."""

    def time(self) -> float:
        """Seconds since the epoch."""
        ...


class SystemClock:
    """The machine's clock."""

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()


class ManualClock:
    """A clock that stands still until it is told to move.

    :param start: seconds since the epoch; default 2026-10-01T12:00:00Z.
    """

    def __init__(self, start: float = 1_790_856_000.0) -> None:
        self._now = start
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    def time(self) -> float:
        """Seconds since the epoch."""
        with self._lock:
            return self._now

    def advance(self, seconds: float) -> None:
        """Move on, and let every listener see the new time."""
        with self._lock:
            self._now += seconds
        for listener in list(self._listeners):
            listener()

    def on_move(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after every move."""
        self._listeners.append(listener)
