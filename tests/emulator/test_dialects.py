"""How relays word things; what a tolerant client has to bear."""

from __future__ import annotations

import pytest

from airflow_provider_kling.emulator.dialects import NEW_API_BUSY
from tests.emulator.conftest import PATH


@pytest.fixture
def speaks(emulator):
    def choose(dialect: str, **settings):
        emulator.settings.update({"dialect": dialect, "progress": "immediate", **settings})

    return choose


@pytest.mark.parametrize("dialect", ["relay_no_external_id", "kkiai", "new_api"])
def test_a_relay_may_drop_the_external_id_and_buys_twice(caller, emulator, speaks, dialect):
    speaks(dialect)
    for _ in range(2):
        answer = caller.create(external_task_id="af-1")
        assert answer.status_code == 200
        assert "af-1" not in answer.text
    assert caller.query("af-1").status_code == 400
    assert emulator.ledger()["accepted"] == 2


def test_kkiai_leaves_out_what_its_page_does_not_have(caller, speaks):
    speaks("kkiai")
    created = caller.create().json()
    assert set(created["data"]) == {"task_id", "task_status", "created_at", "updated_at"}
    one = caller.query(created["data"]["task_id"]).json()["data"]
    assert "task_info" not in one
    assert caller.http.get(PATH).json()["data"] == [one]


def test_xmsmartlink_counts_seconds_and_adds_an_id_of_its_own(caller, speaks):
    speaks("xmsmartlink")
    created = caller.create(external_task_id="af-1").json()
    assert created["task_id"].startswith("task_")
    assert created["message"] == ""
    assert created["data"]["created_at"] == 1_790_856_000
    one = caller.query("af-1").json()["data"]
    assert one["task_result"]["images"] is None
    assert one["task_result"]["videos"][0]["id"] == ""
    assert caller.http.get(PATH).json()["data"] == [one]


def test_new_api_answers_a_create_with_an_openai_video_object(caller, speaks):
    speaks("new_api")
    created = caller.create().json()
    assert created == {
        "id": "900000000000000001",
        "task_id": "900000000000000001",
        "object": "video",
        "model": "kling-v2-6",
        "status": "",
        "progress": 0,
        "created_at": 1_790_856_000,
    }
    answer = caller.query(created["id"]).json()
    assert answer["code"] == "success"
    assert answer["data"]["status"] == "SUCCESS"
    assert answer["data"]["data"]["data"]["task_result"]["videos"][0]["url"].endswith(".mp4")


def test_new_api_loses_the_numeric_code(caller, emulator, speaks):
    speaks("new_api", progress="time", concurrency=1)
    task_id = caller.create().json()["id"]
    assert caller.query(task_id).json()["data"]["status"] == "SUBMITTED"
    busy = caller.create()
    assert (busy.status_code, busy.json()["code"], busy.json()["message"]) == (
        429,
        "task_failed",
        NEW_API_BUSY,
    )
    missing = caller.query("nope")
    assert (missing.status_code, missing.json()["code"]) == (400, "task_not_exist")
    refused = caller.create(duration="7")
    assert (refused.status_code, refused.json()["code"]) == (400, "task_failed")
    emulator.faults.add("GET", "query", {"kind": "kling", "code": 5000})
    assert caller.query(task_id).status_code == 500
    caller.http.headers["Authorization"] = "Bearer wrong"
    denied = caller.query(task_id)
    assert denied.status_code == 401
    assert denied.json()["error"]["type"] == "new_api_error"


@pytest.mark.parametrize("dialect", ["kkiai", "xmsmartlink", "new_api", "relay_no_external_id"])
def test_relays_do_not_have_the_route_of_the_new_generation(caller, speaks, dialect):
    speaks(dialect)
    assert caller.http.get("/tasks?task_ids=1").status_code == 404


def test_new_api_has_no_list_unless_it_is_switched_on(caller, speaks):
    speaks("new_api")
    caller.create()
    assert caller.http.get(PATH).status_code == 404
    speaks("new_api", list_route=True)
    assert [item["status"] for item in caller.http.get(PATH).json()["data"]] == ["SUCCESS"]
