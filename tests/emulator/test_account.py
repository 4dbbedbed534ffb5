"""Slots, rate, states and packs of an account."""

from __future__ import annotations

import pytest

COSTS = "/account/costs?start_time=1&end_time=2"


def test_a_create_over_the_concurrency_is_refused_and_a_slot_is_free_when_a_task_ends(
    caller, emulator, clock
):
    emulator.settings.concurrency = 2
    caller.made()
    clock.advance(2)
    caller.made("[fail] x")
    refused = caller.create()
    assert refused.status_code == 429
    assert refused.json()["code"] == 1303
    assert refused.json()["message"] == "parallel task over resource pack limit"
    assert "data" not in refused.json()
    clock.advance(3)
    caller.made()
    assert caller.create().json()["code"] == 1303
    clock.advance(2)
    caller.made()
    assert emulator.ledger()["refused"] == {"1303": 2}
    assert emulator.ledger()["accepted"] == 4


def test_the_concurrency_can_count_per_model(caller, emulator):
    emulator.settings.update({"concurrency": 1, "concurrency_scope": "model"})
    caller.made()
    caller.made(model_name="kling-v3")
    assert caller.create().json()["code"] == 1303


def test_more_requests_per_second_than_allowed_are_1302(caller, emulator, clock):
    emulator.settings.requests_per_second = 2
    codes = [caller.query("x").json()["code"] for _ in range(3)]
    assert codes == [1201, 1201, 1302]
    clock.advance(1)
    assert caller.query("x").json()["code"] == 1201


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [("abnormal", 429, 1100), ("arrears", 429, 1101), ("exhausted", 429, 1102), ("forbidden", 403, 1103)],
)
def test_an_account_in_trouble_buys_nothing_but_can_look(caller, emulator, state, status, code):
    task_id = caller.made()
    emulator.settings.account_state = state
    refused = caller.create()
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert caller.query(task_id).json()["code"] == 0


def test_an_address_that_is_not_on_the_list_gets_1304_for_everything(caller, emulator):
    emulator.settings.account_state = "ip"
    for answer in (caller.create(), caller.query("x"), caller.http.get(COSTS)):
        assert (answer.status_code, answer.json()["code"]) == (429, 1304)


def test_the_costs_come_in_a_double_envelope_once_a_second(caller, emulator, clock):
    emulator.settings.progress = "immediate"
    caller.made()
    inner = caller.http.get(COSTS).json()["data"]
    assert (inner["code"], inner["msg"]) == (0, "success")
    assert inner["resource_pack_subscribe_infos"][0]["remaining_quantity"] == 998.5
    assert caller.http.get(COSTS).json()["code"] == 1302
    clock.advance(1)
    emulator.settings.pack_units = 1
    assert caller.http.get(COSTS).json()["data"]["resource_pack_subscribe_infos"][0]["status"] == "runOut"
    assert caller.http.get("/account/costs").json()["code"] == 1201


def test_a_route_that_is_not_there_is_a_web_servers_404(caller, emulator):
    outside = caller.http.get("http://kling.test/v1/videos/text2video/x")
    assert outside.status_code == 404
    assert outside.headers["Content-Type"] == "text/html"
    emulator.settings.update({"tasks_route": False, "list_route": False})
    assert caller.http.get("/tasks?task_ids=1").headers["Content-Type"] == "text/html"
    assert caller.http.get("/v1/videos/text2video").headers["Content-Type"] == "text/html"
    emulator.settings.prefix = ""
    assert caller.http.get("http://kling.test/v1/videos/text2video/x").json()["code"] == 1201


def test_a_wrong_method_is_1202_and_an_unknown_path_1203(caller):
    for method, path, code in (
        ("DELETE", "/v1/videos/text2video", 1202),
        ("POST", "/tasks", 1202),
        ("GET", "/v1/videos", 1203),
        ("POST", "/v2/videos/text2video", 1203),
    ):
        answer = caller.http.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (404, code)


def test_a_look_up_by_external_id_can_be_switched_off(caller, emulator):
    caller.made(external_task_id="af-1")
    emulator.settings.lookup_route = False
    assert caller.query("af-1").json()["code"] == 1201


@pytest.mark.parametrize(
    "values",
    [
        {"progress": "soon"},
        {"dialect": "klingon"},
        {"account_state": "rich"},
        {"no_such": 1},
        {"concurrency": "many"},
        {"concurrency": True},
        {"access_key": "alone"},
        {"discontinued": 5},
        {"webhook_secret": "whsec_not base64"},
        {"prefix": None},
    ],
)
def test_a_setting_that_means_nothing_changes_nothing(emulator, values):
    before = dict(vars(emulator.settings))
    with pytest.raises(ValueError):
        emulator.settings.update({"concurrency": 9, **values})
    assert vars(emulator.settings) == before
