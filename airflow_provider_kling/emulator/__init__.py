"""The Kling API on this machine, for tests and demos: no key, no money.

Shares the facts of ``api/catalog.py`` with the client and nothing else, so that a mistake in the client is
not mirrored here. ``python -m airflow_provider_kling.emulator`` runs it;
:class:`~.transport.EmulatorTransport` mounts it in httpx; :func:`~.server.running` opens a real socket.
"""

from __future__ import annotations

from airflow_provider_kling.emulator.app import Emulator
from airflow_provider_kling.emulator.clock import ManualClock, SystemClock
from airflow_provider_kling.emulator.faults import Fault
from airflow_provider_kling.emulator.settings import DEMO_API_KEY, Settings

__all__ = ["DEMO_API_KEY", "Emulator", "Fault", "ManualClock", "Settings", "SystemClock"]
