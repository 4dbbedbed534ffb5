"""The report of the run, and the stages it is played on."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator

import pytest

from tests.chaos.report import Report
from tests.emulator_fixtures import Served


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    """Collects what the rows came to; read by ``python -m tests.chaos.report``."""
    collected = Report()
    collected.notes["AIRFLOW"] = importlib.metadata.version("apache-airflow")
    collected.notes["HTTP"] = importlib.metadata.version("apache-airflow-providers-http")
    yield collected
    collected.save()


#: Where the operator is sent, and with what: Kling's own host or another one, either kind of key, with and
#: without Airflow's memory. ``localhost`` stays a host that is not Kling's.
SETTINGS = {
    "Kling, API key, no state store": ("127.0.0.1", False, False),
    "Kling, AK/SK, state store": ("127.0.0.1", True, True),
    "relay, API key, state store": ("localhost", False, True),
    "relay, AK/SK, no state store": ("localhost", True, False),
}
SECRET = "secret-secret-secret-secret-secret!"


@pytest.fixture
def as_kling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let 127.0.0.1 be a host of Kling's own, as far as the package is concerned."""
    from airflow_provider_kling.api import catalog

    monkeypatch.setattr(catalog, "OFFICIAL_HOSTS", catalog.OFFICIAL_HOSTS | {"127.0.0.1"})


@pytest.fixture
def kling(emulator_server: Served, connect: Callable[..., None], as_kling: None) -> Served:
    """The emulator on a real socket; a video is seen unfinished twice before it is there."""
    settings = emulator_server.emulator.settings
    settings.progress, settings.looks = "looks", 2
    settings.access_key, settings.secret_key = "access", SECRET
    connect(host=emulator_server.url, password="emulator-key")
    return emulator_server
