from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.local_emulator import LocalEmulator
from demo.processes import Processes
from tests.fakes import RESULT_KEYS

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "dags_examples"
DAG_IDS = (
    "kling_daily_content",
    "kling_prompt_table",
    "kling_submit_then_sensor",
    "kling_camera_control",
    "kling_land_clip",
    "kling_use_clip",
)


def airflow_environment(home: Path, **more: str) -> dict[str, str]:
    """What a process with a database of its own needs; nothing is inherited, least of all a connection."""
    return {
        "PATH": os.defpath,
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        **more,
    }


def run_python(arguments: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout


@dataclass
class Executed:
    """What the examples gave, and what they cost."""

    results: dict[str, Any]
    ledger: dict[str, Any]

    @property
    def events(self) -> list[dict[str, Any]]:
        """What was told of assets, oldest first."""
        return list(self.results["events"])

    def tasks(self, dag_id: str, run: str = "manual") -> dict[str, Any]:
        """``{"task[index]": {"state": …, "xcom": …}}``"""
        outcome = self.results[dag_id][run]
        assert outcome["state"] == "success", outcome
        return outcome["tasks"]

    def bought(self, *beginnings: str) -> list[dict[str, Any]]:
        """The creates whose prompts begin so."""
        return [create for create in self.ledger["creates"] if create["prompt"].startswith(beginnings)]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executed]:
    """All examples, run one after the other against the emulator."""
    home = tmp_path_factory.mktemp("airflow")
    with Processes(home / "logs") as processes:
        emulator = LocalEmulator(processes, seconds_per_video=0.3)
        emulator.start()
        # The camera example is for accounts that still have the model.
        emulator.control("settings", {"discontinued": []})
        environment = airflow_environment(home, AIRFLOW_CONN_KLING_DEFAULT=emulator.connection)
        script = str(Path(__file__).with_name("run_examples.py"))
        output = run_python([script, *DAG_IDS], environment)
        yield Executed(json.loads(output.splitlines()[-1]), emulator.ledger())


def test_examples_parse_without_a_connection_and_import_no_client(tmp_path: Path) -> None:
    script = """
import json, sys
from tests.dags_examples.run_examples import load
bag = load()
unwanted = ("airflow_provider_kling.api.client", "airflow_provider_kling.emulator")
heavy = [name for name in unwanted if name in sys.modules]
print()
print(json.dumps({"errors": bag.import_errors, "heavy": heavy, "dags": {
    dag_id: [dag.doc_md or "", sorted(dag.tags)] for dag_id, dag in bag.dags.items()}}))
"""
    found = json.loads(run_python(["-c", script], airflow_environment(tmp_path)).splitlines()[-1])
    assert found["errors"] == {}
    assert set(found["dags"]) == set(DAG_IDS)
    assert found["heavy"] == []
    for doc, tags in found["dags"].values():
        assert doc.startswith("### ")
        assert tags == ["example", "kling"]


def test_daily_content_renders_its_prompt_file_in_manual_and_in_scheduled_runs(executed: Executed) -> None:
    for run in ("manual", "scheduled"):
        tasks = executed.tasks("kling_daily_content", run)
        clip = tasks["make_clip"]["xcom"]
        assert set(clip) == RESULT_KEYS
        assert clip["status"] == "succeeded"
        assert tasks["publish"]["xcom"] == clip["videos"][0]["url"]
    manual, scheduled = executed.bought("A cinematic vertical shot of")
    # 2026-03-04 is a Wednesday in spring.
    assert scheduled["prompt"].startswith("A cinematic vertical shot of a train crossing a high viaduct,")
    assert scheduled["prompt"].endswith("The mood of the season: spring.")
    seasons = ["winter", "spring", "summer", "autumn"]
    month = dt.datetime.fromtimestamp(manual["at"], dt.timezone.utc).month
    assert manual["prompt"].endswith(f"The mood of the season: {seasons[month % 12 // 3]}.")


def test_prompt_table_makes_one_video_for_each_row(executed: Executed) -> None:
    tasks = executed.tasks("kling_prompt_table")
    clips = [tasks[f"make_video[{index}]"]["xcom"] for index in range(3)]
    assert tasks["report"]["xcom"] == {clip["task_id"]: clip["videos"][0]["url"] for clip in clips}
    assert len(executed.bought("A fox", "A lighthouse", "A paper boat")) == 3


def test_submit_then_sensor_gives_the_sensor_the_finished_video(executed: Executed) -> None:
    tasks = executed.tasks("kling_submit_then_sensor")
    submitted, waited = tasks["submit"]["xcom"], tasks["wait_for_video"]["xcom"]
    assert set(submitted) == set(waited) == RESULT_KEYS
    assert submitted["status"] == "submitted"
    assert waited["status"] == "succeeded"
    assert waited["task_id"] == submitted["task_id"]
    assert tasks["publish"]["xcom"].endswith(waited["videos"][0]["url"])
    assert len(executed.bought("a hot-air balloon")) == 1


def test_camera_control_is_accepted_where_the_model_is_still_offered(executed: Executed) -> None:
    tasks = executed.tasks("kling_camera_control")
    assert {task["xcom"]["status"] for task in tasks.values()} == {"succeeded"}
    assert {create["model_name"] for create in executed.bought("A castle")} == {"kling-v1"}


def test_a_landed_clip_is_an_event_with_its_path_and_hash(executed: Executed) -> None:
    result = executed.tasks("kling_land_clip")["make_and_land"]["xcom"]
    (video,) = result["videos"]
    (extra,) = executed.events
    file = Path(video["path"])
    assert file.name == f"{result['task_id']}.mp4"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == video["sha256"] == extra["sha256"]
    assert (extra["path"], extra["bytes"], extra["units"]) == (video["path"], video["bytes"], "1.5")
    assert (extra["model"], extra["mode"]) == ("kling-v2-6", "std")
    assert "crane" not in json.dumps(extra)
    # Run by hand there is no event that started it.
    assert executed.tasks("kling_use_clip")["check"]["xcom"] == []


def test_all_examples_together_bought_what_they_show_and_no_more(executed: Executed) -> None:
    assert len(executed.ledger["creates"]) == 2 + 3 + 1 + 2 + 1
    assert executed.ledger["accepted"] == executed.ledger["charged_tasks"]
