"""Trouble by script, in the process: the exceptions of a real connection, without waiting for them."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from airflow_provider_kling.emulator import DEMO_API_KEY, Fault
from airflow_provider_kling.emulator.transport import EmulatorTransport
from tests.emulator.conftest import PATH

RAISES = [
    ("drop", httpx.RemoteProtocolError),
    ("reset", httpx.ReadError),
    ("hang", httpx.ReadTimeout),
    ("cut", httpx.RemoteProtocolError),
]


@pytest.mark.parametrize(("kind", "error"), RAISES)
@pytest.mark.parametrize("accepted", [True, False])
def test_a_broken_connection_raises_what_httpx_would_and_the_ledger_knows_what_was_behind_it(
    caller, emulator, kind, error, accepted
):
    emulator.faults.add("POST", "create", Fault(kind, accepted=accepted))
    with pytest.raises(error):
        caller.create(external_task_id="af-1")
    assert emulator.ledger()["accepted"] == accepted
    assert caller.query("af-1").json()["code"] == (0 if accepted else 1201)
    assert emulator.ledger()["faults"] == {kind: 1}


def test_a_connection_that_is_never_made_carries_nothing(caller, emulator):
    emulator.faults.add("POST", "create", "connect")
    with pytest.raises(httpx.ConnectError):
        caller.create()
    assert emulator.ledger()["accepted"] == 0


ANSWERS = [
    ({"kind": "status", "status": 500}, 500, b"500 Internal Server Error"),
    ({"kind": "status", "status": 502}, 502, b"502 Bad Gateway"),
    ({"kind": "status", "status": 503, "body": "busy"}, 503, b"busy"),
    ({"kind": "status", "status": 504}, 504, b"504 Gateway Timeout"),
    ({"kind": "kling", "code": 5000}, 500, b'"code": 5000'),
    ({"kind": "kling", "code": 5001}, 503, b'"code": 5001'),
    ({"kind": "kling", "code": 5002}, 504, b'"code": 5002'),
    ({"kind": "kling", "code": 1302}, 429, b'"code": 1302'),
    ({"kind": "kling", "code": 1303}, 429, b'"code": 1303'),
    ({"kind": "kling", "code": 1003}, 401, b'"code": 1003'),
    ({"kind": "kling", "code": 1004}, 401, b'"code": 1004'),
    ({"kind": "kling", "code": 1201, "status": 200, "message": "odd"}, 200, b'"message": "odd"'),
    ({"kind": "garbage"}, 200, b"\x80\x81\x82"),
    ({"kind": "empty"}, 200, b""),
    ({"kind": "empty", "status": 502}, 502, b""),
    ({"kind": "html"}, 200, b"<html>"),
    ({"kind": "html", "status": 503}, 503, b"<html>"),
    ({"kind": "truncated"}, 200, b'{"code": 0, "message": "SUCCEED"'),
]


@pytest.mark.parametrize(("fault", "status", "beginning"), ANSWERS)
@pytest.mark.parametrize("accepted", [True, False])
def test_a_false_answer_comes_with_the_task_made_or_not_made_behind_it(
    caller, emulator, fault, status, beginning, accepted
):
    emulator.faults.add("POST", "create", {**fault, "accepted": accepted})
    answer = caller.create()
    assert answer.status_code == status
    assert beginning in answer.content
    assert emulator.ledger()["accepted"] == accepted
    assert caller.create().json()["code"] == 0, "once"


def test_truncated_json_is_no_json(caller, emulator):
    emulator.faults.add("POST", "create", "truncated")
    with pytest.raises(ValueError):
        caller.create().json()


def test_what_twists_the_answer_handles_the_request_by_default_and_what_replaces_it_does_not(
    caller, emulator
):
    emulator.faults.add("POST", "create", "truncated")
    emulator.faults.add("POST", "create", "html")
    caller.create()
    caller.create()
    assert emulator.ledger()["accepted"] == 1


def test_a_retry_after_header_and_others_can_be_sent_along(caller, emulator):
    fault = {"kind": "kling", "code": 1302, "retry_after": 7, "headers": {"X-Proxy": "yes"}}
    emulator.faults.add("*", "any", fault)
    answer = caller.query("x")
    assert (answer.headers["Retry-After"], answer.headers["X-Proxy"]) == ("7", "yes")


def test_a_late_answer_is_a_read_timeout_with_the_task_made(caller, emulator):
    emulator.faults.add("POST", "create", {"kind": "delay", "seconds": 6})
    with pytest.raises(httpx.ReadTimeout):
        caller.create()
    assert emulator.ledger()["accepted"] == 1
    emulator.faults.add("POST", "create", {"kind": "delay", "seconds": 5})
    assert caller.create().json()["code"] == 0, "within the timeout"


def test_a_request_that_reaches_the_service_late_is_handled_after_the_client_gave_up(caller, emulator, clock):
    emulator.faults.add("POST", "create", {"kind": "delay", "seconds": 30, "accepted": False})
    with pytest.raises(httpx.ReadTimeout):
        caller.create(external_task_id="af-1")
    assert caller.query("af-1").json()["code"] == 1201
    clock.advance(29)
    assert emulator.ledger()["accepted"] == 0
    clock.advance(1)
    assert emulator.ledger()["accepted"] == 1
    assert caller.create(external_task_id="af-1").json()["code"] == 1201


def test_a_short_delay_before_handling_changes_nothing(caller, emulator):
    emulator.faults.add("POST", "create", {"kind": "delay", "seconds": 1, "accepted": False})
    assert caller.create().json()["code"] == 0


def test_faults_strike_the_chosen_requests_in_order_and_as_often_as_said(caller, emulator):
    emulator.faults.add("GET", "query", {"kind": "status", "status": 500}, times=2)
    emulator.faults.add("GET", r"/text2video/\w+$", {"kind": "status", "status": 502})
    emulator.faults.add("POST", "create", {"kind": "status", "status": 503}, after=1)
    emulator.faults.add("POST", "create", {"kind": "status", "status": 504}, contains="badger")
    assert [caller.query("x").status_code for _ in range(4)] == [500, 500, 502, 400]
    assert [caller.create().status_code for _ in range(3)] == [200, 503, 200]
    assert caller.create("A badger").status_code == 504
    assert emulator.faults.as_list() == []


def test_a_fault_can_strike_until_it_is_cleared(caller, emulator):
    emulator.faults.add("GET", "list", "empty", times=None)
    assert [caller.http.get(PATH).content for _ in range(3)] == [b""] * 3
    emulator.faults.clear()
    assert caller.http.get(PATH).json()["code"] == 0


@pytest.mark.parametrize(
    "fault",
    [
        "explode",
        {"kind": "kling"},
        {"kind": "connect", "accepted": True},
        {"status": 500},
        {"kind": "drop", "colour": "red"},
    ],
)
def test_a_fault_that_does_not_exist_is_an_error_at_once(emulator, fault):
    with pytest.raises(ValueError):
        emulator.faults.add("POST", "create", fault)


def test_a_path_that_is_no_expression_is_an_error_at_once(emulator):
    with pytest.raises(ValueError, match="neither a route's name nor a regular expression"):
        emulator.faults.add("POST", "(", "drop")


def test_the_same_transport_serves_an_async_client(emulator):
    async def main() -> list[int]:
        transport = EmulatorTransport(emulator)
        headers = {"Authorization": f"Bearer {DEMO_API_KEY}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://k/kling", headers=headers
        ) as client:
            body = {"model_name": "kling-v2-6", "prompt": "x"}
            created = await client.post(PATH, json=body)
            emulator.faults.add("POST", "create", "cut")
            with pytest.raises(httpx.RemoteProtocolError, match="received .* bytes, expected"):
                await client.post(PATH, json=body)
            return [created.status_code, (await client.get(f"{PATH}/nope")).status_code]

    assert asyncio.run(main()) == [200, 400]
    assert emulator.ledger()["accepted"] == 2
