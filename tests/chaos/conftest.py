"""The report of the run, and the stages it is played on."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.local_airflow import STOP_GRACE
from demo.local_emulator import LocalEmulator
from demo.processes import Processes
from tests.chaos.database import Database, database, patient_sqlite
from tests.chaos.report import Report
from tests.chaos.stage import HASTE, OrderlyAirflow, Stage
from tests.emulator_fixtures import Served
from tests.object_storage import s3_client, s3_connection, serving_s3


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    """Collects what the rows came to; read by ``python -m tests.chaos.report``."""
    collected = Report()
    collected.notes["AIRFLOW"] = importlib.metadata.version("apache-airflow")
    collected.notes["HTTP"] = importlib.metadata.version("apache-airflow-providers-http")
    yield collected
    collected.save()


#: Where the operator is sent, and with what: Kling's own host or a relay that passes external ids on, either
#: kind of key, with and without Airflow's memory. ``localhost`` is the one that is not Kling's.
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


@pytest.fixture(scope="session")
def postgres() -> Iterator[Database]:
    """Airflow's database, if it can be had here."""
    with database() as found:
        yield found


def _undeclared(emulator: LocalEmulator) -> str:
    """A connection that does not say whether the host keeps external ids, as most relays' won't."""
    return json.dumps({"conn_type": "kling", "host": emulator.base_url, "password": emulator.api_key})


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, postgres: Database, report: Report) -> Iterator[Stage]:
    """One real Airflow for all rows that need one."""
    folder = tmp_path_factory.mktemp("chaos")
    (folder / "marks").mkdir()
    with Processes(folder / "logs", STOP_GRACE) as processes, serving_s3() as s3:
        s3_client(s3).create_bucket(Bucket="clips")
        # So long that a busy scheduler has noted a deferral before its trigger fires: else Airflow takes the
        # task for lost and tries again. That costs no money, but the retry a row may need.
        kling = LocalEmulator(processes, concurrency=500, seconds_per_video=12)
        relay = LocalEmulator(processes, concurrency=500, seconds_per_video=12)
        for emulator in (kling, relay):
            emulator.start()
        relay.control("settings", {"dialect": "relay_no_external_id"})
        http = {"conn_type": "http", "host": kling.origin}
        http["extra"] = json.dumps({"Authorization": f"Bearer {kling.api_key}"})
        airflow = OrderlyAirflow(
            folder / "airflow",
            Path(__file__).with_name("dags"),
            connections={
                "kling_default": kling.connection,
                "kling_relay": _undeclared(kling),
                "kling_forgetful": _undeclared(relay),
                "kling_http": json.dumps(http),
                "storage": s3_connection(s3),
            },
            sql_alchemy_conn=postgres.url or patient_sqlite(folder / "airflow.db"),
            environment={**HASTE, "CHAOS_FOLDER": str(folder / "marks")},
            parallelism=4,
            processes=processes,
        )
        airflow.start()
        for dag_id in ("waits_deferred", "http_retry"):
            airflow.wait_for_dag(dag_id)
        played = Stage(airflow, kling, relay, folder / "marks", s3, report)
        yield played
        played.close()
        airflow.stop()
