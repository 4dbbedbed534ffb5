"""The Kling emulator as a process of its own, with a real socket."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import httpx

from demo.processes import NotReached, Process, Processes, free_port, wait_for

#: How a task that is ordered here is told apart from one of a real account: by its key.
API_KEY = "demo-key-that-opens-only-the-emulator"


class LocalEmulator:
    """Kling on this machine: the same API, made-up videos, no money.

    :param processes: start it among these.
    :param port: a free one by default.
    :param concurrency: tasks it works on at once; a create beyond that is refused with 1303.
    :param seconds_per_video: how long one takes.
    """

    def __init__(
        self,
        processes: Processes,
        *,
        port: int | None = None,
        api_key: str = API_KEY,
        concurrency: int = 5,
        seconds_per_video: float = 5,
        prefix: str = "/kling",
    ) -> None:
        self.port = port or free_port()
        self.api_key = api_key
        self.origin = f"http://127.0.0.1:{self.port}"
        self.base_url = f"{self.origin}{prefix}"
        self._processes = processes
        self._process: Process | None = None
        self._options = {
            "--host": "127.0.0.1",
            "--port": str(self.port),
            "--api-key": api_key,
            "--concurrency": str(concurrency),
            "--seconds-per-video": str(seconds_per_video),
            "--prefix": prefix,
        }

    @property
    def connection(self) -> str:
        """The Airflow connection to it, as JSON."""
        return json.dumps(
            {
                "conn_type": "kling",
                "host": self.base_url,
                "password": self.api_key,
                # It keeps external ids unique, as Kling's own hosts do; of others that has to be said.
                "extra": {"external_task_ids": True},
            }
        )

    def start(self, timeout: float = 30) -> None:
        """Start it and wait until it answers.

        :raises NotReached: with what it printed last.
        """
        options = [word for option in self._options.items() for word in option]
        command = [sys.executable, "-m", "airflow_provider_kling.emulator", *options]
        process = self._process = self._processes.start("emulator", command, {"PYTHONUNBUFFERED": "1"})

        def answers() -> bool:
            if not process.running:
                raise NotReached(f"the emulator ended at once:\n{process.tail()}")
            try:
                return httpx.get(f"{self.origin}/_emulator/health", trust_env=False).is_success
            except httpx.TransportError:
                return False

        wait_for(answers, "the emulator to answer", timeout, interval=0.1)

    def stop(self) -> None:
        """End it; what it has sold is forgotten."""
        if self._process is not None:
            self._processes.end(self._process)
            self._process = None

    def ledger(self) -> dict[str, Any]:
        """What was bought and asked: ``{"creates": […], "charged_units": "4.5", "requests": {…}, …}``."""
        answer = httpx.get(f"{self.origin}/_emulator/ledger", trust_env=False).raise_for_status()
        ledger: dict[str, Any] = answer.json()
        return ledger

    def control(self, what: str, body: Mapping[str, Any] | None = None) -> Any:
        """``POST /_emulator/<what>``, e.g. ``reset`` or ``settings``."""
        url = f"{self.origin}/_emulator/{what}"
        answer = httpx.post(url, json=dict(body or {}), trust_env=False).raise_for_status()
        return answer.json() if answer.content else None
