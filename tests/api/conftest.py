"""Both clients on the emulator, and how many examples a property test gets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from airflow_provider_kling.api.auth import ApiKeyAuth
from airflow_provider_kling.api.client import AsyncKlingClient, ClientSettings, KlingClient
from airflow_provider_kling.api.flows import Flow
from airflow_provider_kling.emulator import DEMO_API_KEY, Emulator, ManualClock
from airflow_provider_kling.emulator.transport import EmulatorTransport

_COMMON: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("local", max_examples=200, **_COMMON)
settings.register_profile("ci", max_examples=2000, print_blob=True, **_COMMON)
# Hypothesis reads --hypothesis-profile, and takes "ci" by itself where CI is set, before this file is read.
_asked = os.environ.get("HYPOTHESIS_PROFILE") or getattr(settings, "_current_profile", "default")
settings.load_profile("ci" if _asked == "ci" else "local")

Runner = Callable[[Flow[Any]], Any]


def settings_of(emulator: Emulator, **more: Any) -> ClientSettings:
    return ClientSettings(
        base_url=f"https://kling.test{emulator.settings.prefix}", auth=ApiKeyAuth(DEMO_API_KEY), **more
    )


def sync_runner(emulator: Emulator, clock: ManualClock, **more: Any) -> Runner:
    """Pauses move the clock of the emulator."""

    def run(flow: Flow[Any]) -> Any:
        with KlingClient(
            settings_of(emulator, **more), transport=EmulatorTransport(emulator), sleep=clock.advance
        ) as client:
            return client.run(flow)

    return run


def async_runner(emulator: Emulator, clock: ManualClock, **more: Any) -> Runner:
    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    async def drive(flow: Flow[Any]) -> Any:
        async with AsyncKlingClient(
            settings_of(emulator, **more), transport=EmulatorTransport(emulator), sleep=sleep
        ) as client:
            return await client.run(flow)

    return lambda flow: asyncio.run(drive(flow))


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest, emulator: Emulator, clock: ManualClock) -> Runner:
    """Runs a flow against the emulator, once with each client."""
    return (sync_runner if request.param == "sync" else async_runner)(emulator, clock)
