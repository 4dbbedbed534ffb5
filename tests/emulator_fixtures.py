"""Fixtures that mount the emulator: in the process with a clock to move, and on a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from airflow_provider_kling.emulator import Emulator, ManualClock
from airflow_provider_kling.emulator.server import running


@dataclass(frozen=True)
class Served:
    """An emulator on a real socket. ``url`` is what a connection has as its host."""

    url: str
    emulator: Emulator


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def emulator(clock: ManualClock) -> Emulator:
    """In the process; mount it with ``EmulatorTransport(emulator)``; its time stands still until moved."""
    return Emulator(clock=clock)


@pytest.fixture
def emulator_server() -> Iterator[Served]:
    """On a free port of 127.0.0.1, with the machine's clock; videos take no time unless a test says so."""
    served = Emulator()
    served.settings.progress = "immediate"
    with running(served) as url:
        yield Served(url, served)
