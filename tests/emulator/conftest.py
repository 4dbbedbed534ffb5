"""What all tests of the emulator need: a caller with the right key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from airflow_provider_kling.emulator import DEMO_API_KEY, Emulator
from airflow_provider_kling.emulator.transport import EmulatorTransport

PATH = "/v1/videos/text2video"


class Caller:
    """Talks to an in-process emulator as any HTTP client would."""

    def __init__(self, served: Emulator) -> None:
        self.http = httpx.Client(
            transport=EmulatorTransport(served),
            base_url="http://kling.test/kling",
            headers={"Authorization": f"Bearer {DEMO_API_KEY}"},
            timeout=5,
        )

    def create(self, prompt: str = "A fox crossing a frozen lake", **fields: Any) -> httpx.Response:
        body = {"model_name": "kling-v2-6", "prompt": prompt, **fields}
        return self.http.post(PATH, json={name: value for name, value in body.items() if value is not ...})

    def query(self, given: str) -> httpx.Response:
        return self.http.get(f"{PATH}/{given}")

    def status(self, given: str) -> str:
        return str(self.query(given).json()["data"]["task_status"])

    def made(self, prompt: str = "A fox crossing a frozen lake", **fields: Any) -> str:
        """Create a task that must be accepted; return its id."""
        answer = self.create(prompt, **fields)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["data"]["task_id"])


@pytest.fixture
def caller(emulator: Emulator) -> Iterator[Caller]:
    caller = Caller(emulator)
    yield caller
    caller.http.close()
