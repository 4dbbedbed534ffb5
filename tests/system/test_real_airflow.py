from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import pytest

from airflow_provider_kling import __version__
from demo.airflow_api import Run
from demo.processes import wait_for
from tests.fakes import RESULT_KEYS
from tests.system.conftest import STORED_CONNECTION, System

pytestmark = pytest.mark.system

LINK = "Kling video"
FAN_OUT = ("Fan-out one", "Fan-out two", "Fan-out three")


@pytest.fixture(scope="module")
def runs(system: System) -> dict[str, Run]:
    """All runs of this module, started together: they wait for the same seconds."""
    for dag_id in ("kling_prompt_table", "kling_submit_then_sensor", "three_ways"):
        system.airflow.wait_for_dag(dag_id)
    return {
        "fan-out": system.airflow.trigger_dag(
            "kling_prompt_table", {"prompts": [{"prompt": prompt, "duration": 10} for prompt in FAN_OUT]}
        ),
        "sensor": system.airflow.trigger_dag("kling_submit_then_sensor", {"subject": "a system test"}),
        "three ways": system.airflow.trigger_dag("three_ways"),
    }


def test_fan_out_waits_deferred_and_no_trigger_row_holds_the_key(
    system: System, runs: dict[str, Run]
) -> None:
    run = runs["fan-out"]
    for index in range(3):
        system.airflow.wait_for_state(run, "make_video", ["deferred"], map_index=index)
    database = system.airflow.home / "airflow.db"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        rows = connection.execute(
            "select kwargs from trigger where classpath like '%KlingTaskTrigger'"
        ).fetchall()
    connection.close()
    assert len(rows) >= 3
    for (kwargs,) in rows:
        stored = json.loads(kwargs)
        assert "kling_conn_id" in str(stored)
        assert system.emulator.api_key not in kwargs
    assert system.emulator.api_key not in system.database_dump()
    # There is no video to show yet, and the page says so by having no address.
    assert not system.airflow.links(run, "make_video", map_index=0)[LINK]


def test_fan_out_ends_with_one_video_for_each_prompt(system: System, runs: dict[str, Run]) -> None:
    run = runs["fan-out"]
    assert system.airflow.wait_for_run(run) == "success"
    results = [system.airflow.xcom(run, "make_video", map_index=index) for index in range(3)]
    for result in results:
        assert set(result) == RESULT_KEYS
        assert result["schema"] == 1
        assert result["kind"] == "text2video"
        assert result["status"] == "succeeded"
        assert result["units"] == "3"
    bought = system.creates(*FAN_OUT)
    assert len(bought) == 3
    assert sorted(bought) == sorted(result["external_task_id"] for result in results)


def test_the_task_page_links_to_the_video_when_it_is_done(system: System, runs: dict[str, Run]) -> None:
    run = runs["fan-out"]
    system.airflow.wait_for_run(run)
    for index in range(3):
        url = system.airflow.xcom(run, "make_video", map_index=index)["videos"][0]["url"]
        assert system.airflow.links(run, "make_video", map_index=index) == {LINK: url}


def test_the_sensor_waits_for_what_another_task_submitted(system: System, runs: dict[str, Run]) -> None:
    run = runs["sensor"]
    assert system.airflow.wait_for_run(run) == "success"
    submitted = system.airflow.xcom(run, "submit")
    waited = system.airflow.xcom(run, "wait_for_video")
    assert set(submitted) == set(waited) == RESULT_KEYS
    assert submitted["status"] == "submitted"
    assert waited["status"] == "succeeded"
    assert waited["task_id"] == submitted["task_id"]
    assert system.airflow.links(run, "wait_for_video") == {LINK: waited["videos"][0]["url"]}
    assert len(system.creates("a system test")) == 1


def test_three_ways_give_the_same_result_with_a_connection_from_the_database(
    system: System, runs: dict[str, Run]
) -> None:
    run = runs["three ways"]
    assert system.airflow.wait_for_run(run) == "success"
    results = [system.airflow.xcom(run, task) for task in ("in_the_worker", "deferred", "sensed")]
    assert [set(result) for result in results] == [RESULT_KEYS] * 3
    assert [result["status"] for result in results] == ["succeeded"] * 3
    assert len(system.creates("Three ways")) == 3
    # Waiting in the triggerer needed the stored connection there too: its log tells that it ran there.
    assert "Trigger fired event" in system.airflow.logs(run, "deferred")


def test_a_stored_key_is_masked_in_the_api(system: System) -> None:
    stored = system.airflow.call("GET", f"/connections/{STORED_CONNECTION}")
    assert stored["conn_type"] == "kling"
    assert stored["password"] == "***"


def test_the_test_button_tells_a_right_key_from_a_wrong_one_and_buys_nothing(system: System) -> None:
    bought = len(system.emulator.ledger()["creates"])
    host = system.emulator.base_url
    works, message = system.airflow.test_connection(
        "kling_new", "kling", host=host, password=system.emulator.api_key
    )
    assert works, message
    works, message = system.airflow.test_connection("kling_new", "kling", host=host, password="wrong-key")
    assert not works
    assert "credentials" in message
    assert "wrong-key" not in message
    assert len(system.emulator.ledger()["creates"]) == bought


def test_airflow_lists_the_provider(system: System) -> None:
    listed = system.airflow.cli("providers", "get", "airflow-provider-kling")
    assert re.search(rf"airflow-provider-kling +\| +{re.escape(__version__)}", listed)


def test_the_key_is_in_no_log_no_xcom_no_rendered_field_and_no_table(
    system: System, runs: dict[str, Run]
) -> None:
    for run in runs.values():
        system.airflow.wait_for_run(run)
    some_id = system.airflow.xcom(runs["fan-out"], "make_video", map_index=0)["external_task_id"]
    dump = wait_for(lambda: text if some_id in (text := system.database_dump()) else None, "the XCom", 10)
    # The search would find it: an id that may be there is found, and logging is as chatty as it can be.
    logs = [name for name in system.files_with(some_id) if name.endswith(".log")]
    assert logs
    assert any('"level":"debug"' in Path(name).read_text() for name in logs)

    assert system.emulator.api_key not in dump
    assert system.files_with(system.emulator.api_key) == []
