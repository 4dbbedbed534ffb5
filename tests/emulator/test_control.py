"""The emulator's own routes and its book."""

from __future__ import annotations

import contextlib

import httpx
import pytest

from tests.emulator.conftest import PATH

CONTROL = "http://kling.test/_emulator"


@pytest.fixture
def control(caller):
    """The caller without its key: these routes need none."""
    del caller.http.headers["Authorization"]
    return caller.http


def test_the_ledger_says_what_was_bought_refused_and_asked(caller, emulator, clock):
    one = caller.made(external_task_id="af-1")
    caller.made("[fail] x", mode="pro", sound="on")
    caller.made(model_name="kling-v3")
    caller.create(duration="7")
    caller.query("nope")
    caller.http.get("/elsewhere")
    clock.advance(5)
    caller.http.get(f"/videos/{one}.mp4")
    book = caller.http.get(f"{CONTROL}/ledger").json()
    assert book == emulator.ledger()
    assert book["creates"][0] == {
        "task_id": one,
        "external_task_id": "af-1",
        "kind": "text2video",
        "units_estimate": "1.5",
        "units_deducted": "1.5",
        "status": "succeed",
        "prompt": "A fox crossing a frozen lake",
        "model_name": "kling-v2-6",
        "at": 1_790_856_000.0,
    }
    assert [item["units_estimate"] for item in book["creates"]] == ["1.5", "5", "3"]
    assert (book["accepted"], book["charged_units"], book["charged_tasks"], book["running"]) == (
        3,
        "4.5",
        2,
        0,
    )
    assert book["refused"] == {"1201": 1}
    assert book["refused_reads"] == {"1201": 1, "1203": 1}
    assert book["requests"] == {
        f"POST {PATH}": 4,
        f"GET {PATH}/{{id}}": 1,
        "GET /videos/{id}": 1,
        "other": 1,
    }
    assert book["requests_total"] == 7


def test_the_ledger_counts_creates_by_prompt_also_those_that_came_to_nothing(caller, emulator):
    emulator.faults.add("POST", "create", "drop")
    emulator.faults.add("POST", "create", "connect")
    for _ in range(3):
        with contextlib.suppress(httpx.TransportError):
            caller.create("A hare")
    caller.http.post(PATH, content=b"not JSON")
    assert emulator.ledger()["creates_arrived"] == {"A hare": 2, "": 1}


def test_a_task_without_a_known_price_is_free_of_charge(emulator):
    emulator.settings.progress = "immediate"
    emulator.add_task(kind="avatar", model_name="kling-avatar")
    book = emulator.ledger()
    assert (book["creates"][0]["units_estimate"], book["charged_units"]) == (None, "0")
    assert book["charged_tasks"] == 1


def test_a_connection_that_was_never_made_is_no_request(caller, emulator):
    emulator.faults.add("GET", "query", "connect")
    with pytest.raises(Exception, match="refused"):
        caller.query("x")
    assert emulator.ledger()["requests_total"] == 0


def test_faults_can_be_planned_seen_and_forgotten_over_http(caller, emulator):
    rules = [
        {
            "method": "post",
            "path": "create",
            "fault": {"kind": "status", "status": 502, "accepted": True},
            "times": 2,
        },
        {"fault": "drop", "after": 5},
    ]
    assert caller.http.post(f"{CONTROL}/faults", json=rules).json() == {"added": 2}
    assert caller.create().status_code == 502
    planned = caller.http.get(f"{CONTROL}/faults").json()
    assert [(rule["method"], rule["path"], rule["times"]) for rule in planned] == [
        ("POST", "create", 1),
        ("*", "any", 1),
    ]
    caller.http.delete(f"{CONTROL}/faults")
    assert caller.create().status_code == 200
    assert emulator.ledger()["accepted"] == 2


def test_a_reset_forgets_everything_and_can_change_settings(control, emulator):
    emulator.add_task(callback_url="http://127.0.0.1:1/")
    emulator.faults.add("*", "any", "drop")
    assert control.post(f"{CONTROL}/reset", json={"progress": "looks", "discontinued": []}).status_code == 200
    assert emulator.ledger()["accepted"] == 0
    assert (emulator.faults.as_list(), emulator.callbacks) == ([], [])
    assert emulator.settings.progress == "looks"
    assert emulator.settings.discontinued == frozenset()


def test_settings_can_be_changed_without_forgetting(control, emulator):
    emulator.add_task()
    control.post(f"{CONTROL}/settings", json={"concurrency": 1})
    assert emulator.settings.concurrency == 1
    assert emulator.ledger()["accepted"] == 1


def test_tasks_can_be_expired_over_http(control, emulator):
    task = emulator.add_task(external_task_id="af-1")
    emulator.add_task()
    assert control.post(f"{CONTROL}/expire", json={"task_id": task.task_id}).json() == {"expired": 1}
    body = {"external_task_id": "af-1", "forget_external_id": True}
    assert control.post(f"{CONTROL}/expire", json=body).json() == {"expired": 1}
    assert control.post(f"{CONTROL}/expire", json={"all": True, "video_only": True}).json() == {"expired": 2}


def test_callbacks_can_be_read_over_http(control, emulator):
    emulator.add_task(callback_url="http://127.0.0.1:1/hook")
    seen = control.get(f"{CONTROL}/callbacks").json()
    assert [(item["url"], item["payload"]["task_status"]) for item in seen] == [
        ("http://127.0.0.1:1/hook", "submitted")
    ]


def test_it_says_what_it_is_and_that_it_is_up(control):
    about = control.get("http://kling.test/").json()
    assert about["base_url"] == "http://kling.test/kling"
    assert "GET /_emulator/ledger" in about["routes"]
    assert control.get(f"{CONTROL}/health").json() == {"status": "ok"}
    assert control.get("http://kling.test/favicon.ico").status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", b"{}"),
        ("faults", b"nonsense"),
        ("faults", b'[{"fault": "explode"}]'),
        ("faults", b'[{"fault": "drop", "colour": "red"}]'),
        ("faults", b"[5]"),
        ("reset", b'{"concurrency": "many"}'),
        ("settings", b"[]"),
        ("settings", b'{"no_such": 1}'),
        ("expire", b"{}"),
    ],
)
def test_nonsense_is_answered_with_what_is_wrong(control, emulator, path, body):
    answer = control.post(f"{CONTROL}/{path}", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert emulator.faults.as_list() == []


def test_what_is_not_there_is_404(control):
    assert control.get(f"{CONTROL}/nothing").status_code == 404
    assert control.put(f"{CONTROL}/reset").status_code == 404


def test_control_requests_are_neither_counted_nor_struck(control, emulator):
    emulator.faults.add("*", "any", "drop")
    control.get(f"{CONTROL}/ledger")
    assert emulator.ledger()["requests"] == {}
    assert len(emulator.faults.as_list()) == 1
