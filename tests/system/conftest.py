from __future__ import annotations

import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.local_airflow import STOP_GRACE, LocalAirflow
from demo.local_emulator import LocalEmulator
from demo.processes import Processes

ROOT = Path(__file__).resolve().parents[2]

#: The connection that is stored in the database; ``kling_default`` is an environment variable.
STORED_CONNECTION = "kling_stored"


@dataclass(frozen=True)
class System:
    """A real Airflow beside the emulator, both up."""

    airflow: LocalAirflow
    emulator: LocalEmulator

    def creates(self, *beginnings: str) -> list[str]:
        """External ids of what was bought for prompts that begin so."""
        creates = self.emulator.ledger()["creates"]
        return [create["external_task_id"] for create in creates if create["prompt"].startswith(beginnings)]

    def database_dump(self) -> str:
        """Every value of every table of the metadata database, as text."""
        with sqlite3.connect(f"file:{self.airflow.home / 'airflow.db'}?mode=ro", uri=True) as connection:
            names = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
            rows = [row for (name,) in names for row in connection.execute(f'select * from "{name}"')]
        connection.close()
        cells = (cell for row in rows for cell in row if cell is not None)
        return "\n".join(
            cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell) for cell in cells
        )

    def files_with(self, text: str) -> list[str]:
        """Names of the files under AIRFLOW_HOME that hold this text: logs, database, everything."""
        files = (path for path in self.airflow.home.rglob("*") if path.is_file() and not path.is_symlink())
        return [str(path) for path in files if text.encode() in path.read_bytes()]


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One Airflow for all system tests: starting it takes longer than any of them."""
    folder = tmp_path_factory.mktemp("system")
    dags = folder / "dags"
    shutil.copytree(ROOT / "dags_examples", dags)
    shutil.copytree(Path(__file__).with_name("dags"), dags, dirs_exist_ok=True)
    with Processes(folder / "logs", STOP_GRACE) as processes:
        emulator = LocalEmulator(
            processes, api_key=f"system-{secrets.token_hex(16)}", concurrency=20, seconds_per_video=4
        )
        emulator.start()
        airflow = LocalAirflow(
            folder / "airflow",
            dags,
            connections={"kling_default": emulator.connection},
            environment={"AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG"},
            processes=processes,
        )
        airflow.start()
        airflow.add_connection(STORED_CONNECTION, "kling", host=emulator.base_url, password=emulator.api_key)
        yield System(airflow, emulator)
        airflow.stop()
