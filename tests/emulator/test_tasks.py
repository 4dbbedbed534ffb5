"""The life of a task: how it is found, how it moves on, what it costs."""

from __future__ import annotations

import pytest

from airflow_provider_kling.emulator import Emulator, ManualClock
from tests.emulator.conftest import PATH


def test_a_task_goes_from_submitted_over_processing_to_succeed_by_the_clock(caller, clock):
    created = caller.create(external_task_id="af-1", watermark_info={"enabled": True}).json()
    assert created["message"] == "SUCCEED"
    assert created["data"] == {
        "task_id": "900000000000000001",
        "task_status": "submitted",
        "task_info": {"external_task_id": "af-1"},
        "created_at": 1_790_856_000_000,
        "updated_at": 1_790_856_000_000,
    }
    seen = []
    for _ in range(6):
        seen.append(caller.status("af-1"))
        clock.advance(1)
    assert seen == ["submitted", "processing", "processing", "processing", "processing", "succeed"]
    done = caller.query("900000000000000001").json()["data"]
    assert done["final_unit_deduction"] == "1.5"
    assert done["updated_at"] == 1_790_856_005_000
    video = done["task_result"]["videos"][0]
    assert video["url"] == "http://kling.test/kling/videos/900000000000000001.mp4"
    assert video["watermark_url"] == "http://kling.test/kling/videos/900000000000000001-watermark.mp4"
    assert video["duration"] == "5.041"


def test_progress_by_looks_needs_exactly_that_many(caller, emulator, clock):
    emulator.settings.update({"progress": "looks", "looks": 3})
    task_id = caller.made()
    clock.advance(10_000)
    assert [caller.status(task_id) for _ in range(4)] == ["submitted", "processing", "processing", "succeed"]


def test_progress_immediate_is_done_at_the_first_look(caller, emulator):
    emulator.settings.progress = "immediate"
    assert caller.status(caller.made()) == "succeed"


def test_a_prompt_can_set_its_own_time(caller, emulator, clock):
    emulator.settings.progress = "immediate"
    task_id = caller.made("A fox [seconds=2.5]")
    clock.advance(2.4)
    assert caller.status(task_id) == "processing"
    clock.advance(0.1)
    assert caller.status(task_id) == "succeed"


def test_an_external_task_id_is_unique_per_account_and_nothing_is_bought_twice(caller, emulator):
    caller.made(external_task_id="af-1")
    again = caller.create(external_task_id="af-1", prompt="Another")
    assert (again.status_code, again.json()["code"]) == (400, 1201)
    assert again.json()["message"] == "External_task_id af-1 already exists"
    assert emulator.ledger()["accepted"] == 1


def test_a_failed_task_keeps_its_external_id_and_costs_nothing(caller, emulator, clock):
    task_id = caller.made("A [policy-after] fox", external_task_id="af-1")
    clock.advance(5)
    data = caller.query(task_id).json()
    assert data["code"] == 0, "a failed task is no error of the call"
    assert data["data"]["task_status"] == "failed"
    assert data["data"]["task_status_msg"] == "Failure to pass the risk control system"
    assert data["data"]["task_result"] == {}
    assert "final_unit_deduction" not in data["data"]
    assert caller.create(external_task_id="af-1").json()["code"] == 1201
    assert emulator.ledger()["charged_units"] == "0"


def test_the_content_policy_can_refuse_before_anything_is_accepted(caller, emulator):
    answer = caller.create("A [policy-before] fox")
    assert (answer.status_code, answer.json()["code"]) == (400, 1301)
    assert emulator.ledger()["accepted"] == 0


@pytest.mark.parametrize(
    ("prompt", "ends"),
    [
        ("[fail] x", ["failed"] * 4),
        ("[fail-twice] x", ["failed", "failed", "succeed", "succeed"]),
        ("[fail-1] x", ["failed", "succeed", "succeed", "succeed"]),
    ],
)
def test_a_prompt_can_fail_a_number_of_times(caller, emulator, prompt, ends):
    emulator.settings.progress = "immediate"
    assert [caller.status(caller.made(prompt)) for _ in range(4)] == ends
    assert emulator.ledger()["charged_tasks"] == ends.count("succeed")


def test_an_unknown_id_is_the_services_1201(caller):
    answer = caller.query("nope")
    assert answer.status_code == 400
    assert answer.json()["message"] == "Task not found by id/external id: nope"


def test_the_list_comes_in_pages_newest_first(caller, emulator):
    emulator.settings.concurrency = 50
    made = [caller.made() for _ in range(35)]

    def page(query: str) -> list[str]:
        return [item["task_id"] for item in caller.http.get(f"{PATH}{query}").json()["data"]]

    assert page("") == made[:4:-1]
    assert page("?pageNum=2") == made[4::-1]
    assert page("?pageNum=2&pageSize=10") == made[24:14:-1]
    assert page("?pageNum=1000&pageSize=500") == []


@pytest.mark.parametrize("query", ["pageNum=0", "pageNum=1001", "pageSize=501", "pageSize=x", "pageNum=-1"])
def test_a_page_out_of_bounds_is_1201(caller, query):
    assert caller.http.get(f"{PATH}?{query}").json()["code"] == 1201


def test_the_tasks_route_returns_the_normalised_form_in_bulk(caller, clock):
    first, second = caller.made(external_task_id="af-1"), caller.made()
    clock.advance(5)
    data = caller.http.get(f"/tasks?task_ids={first},{second},404").json()["data"]
    assert [item["id"] for item in data] == [first, second]
    assert data[0]["status"] == "succeeded"
    assert data[0]["external_id"] == "af-1"
    assert data[0]["outputs"][0]["duration"] == "5.041"
    assert data[0]["billing"] == [{"charge_type": "unit", "amount": "1.5", "package_type": "video"}]
    assert "external_id" not in data[1]
    by_external_id = caller.http.get("/tasks?external_task_ids=af-1,af-2").json()["data"]
    assert [item["id"] for item in by_external_id] == [first]
    assert caller.http.get("/tasks?task_ids=af-1").json()["data"] == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("task_ids=" + ",".join(map(str, range(21))), "task_ids cannot exceed 20 in total"),
        ("task_ids=1&external_task_ids=2", "Exactly one of task_ids and external_task_ids is required"),
        ("", "Exactly one of task_ids and external_task_ids is required"),
    ],
)
def test_the_tasks_route_has_its_limits(caller, query, message):
    answer = caller.http.get(f"/tasks?{query}")
    assert (answer.status_code, answer.json()["message"]) == (400, message)


def test_a_new_task_can_be_invisible_to_look_ups_by_external_id_for_a_while(caller, emulator, clock):
    emulator.settings.visibility_lag = 3
    task_id = caller.made(external_task_id="af-1")
    assert caller.query("af-1").json()["code"] == 1201
    assert caller.http.get(PATH).json()["data"] == []
    assert caller.query(task_id).json()["code"] == 0
    assert caller.create(external_task_id="af-1").json()["code"] == 1201, "its id is taken all the same"
    clock.advance(3)
    assert caller.query("af-1").json()["data"]["task_id"] == task_id


def test_a_task_is_gone_after_thirty_days(caller, clock):
    task_id = caller.made()
    clock.advance(30 * 86400 - 1)
    assert caller.query(task_id).json()["code"] == 0
    clock.advance(1)
    assert caller.query(task_id).json()["code"] == 1201
    assert caller.http.get(f"/videos/{task_id}.mp4").status_code == 404


def test_a_task_can_be_made_to_expire_whole_or_by_its_video_alone(caller, emulator, clock):
    emulator.settings.progress = "immediate"
    one, two = caller.made(external_task_id="af-1"), caller.made(external_task_id="af-2")
    assert emulator.expire("af-1", video_only=True) == 1
    assert caller.status(one) == "succeed"
    assert caller.http.get(f"/videos/{one}.mp4").status_code == 404
    assert emulator.expire(two) == 1
    assert caller.query(two).json()["code"] == 1201
    assert caller.create(external_task_id="af-2").json()["code"] == 1201
    emulator.expire(two, forget_external_id=True)
    assert caller.create(external_task_id="af-2").json()["code"] == 0
    assert emulator.expire() == 3


def test_a_task_made_elsewhere_can_be_put_in(caller, emulator):
    emulator.settings.progress = "immediate"
    task = emulator.add_task("From another client", kind="image2video", external_task_id="other")
    data = caller.http.get("/v1/videos/image2video/other").json()["data"]
    assert data["task_id"] == task.task_id
    assert data["task_status"] == "succeed"
    assert emulator.tasks() == [task]


def test_a_clock_moves_only_forward_when_told_to():
    clock = ManualClock(100)
    served = Emulator(clock=clock)
    task = served.add_task()
    assert (clock.time(), task.status) == (100, "submitted")
    clock.advance(5)
    assert task.status == "succeed", "without anybody asking"
