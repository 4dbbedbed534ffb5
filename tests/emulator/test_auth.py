"""Who is let in: codes 1000 to 1004, as the service answers them."""

from __future__ import annotations

import jwt
import pytest

from airflow_provider_kling.emulator import Emulator, ManualClock
from airflow_provider_kling.emulator.auth import API_KEY_ONLY

ACCESS, SECRET = "an-access-key", "a-secret-key-of-thirty-two-bytes-or-more"


@pytest.fixture(autouse=True)
def keys(emulator: Emulator) -> None:
    emulator.settings.update({"access_key": ACCESS, "secret_key": SECRET})


def token(clock: ManualClock, issuer=ACCESS, secret=SECRET, exp=1800.0, nbf=-5.0, algorithm="HS256", **more):
    now = clock.time()
    claims = {"iss": issuer, "exp": int(now + exp), "nbf": int(now + nbf), **more}
    return jwt.encode({k: v for k, v in claims.items() if v is not ...}, secret, algorithm=algorithm)


def asked(caller, authorization: str | None, path: str = "/v1/videos/text2video/nope"):
    if authorization is None:
        del caller.http.headers["Authorization"]
    else:
        caller.http.headers["Authorization"] = authorization
    answer = caller.http.get(path)
    body = answer.json()
    return answer.status_code, body["code"], body["message"]


NOT_FOUND = (400, 1201, "Task not found by id/external id: nope")


def test_the_api_key_is_let_in(caller):
    assert asked(caller, "Bearer emulator-key") == NOT_FOUND


def test_a_jwt_signed_with_the_secret_key_is_let_in(caller, clock):
    assert asked(caller, f"Bearer {token(clock)}") == NOT_FOUND


@pytest.mark.parametrize("authorization", [None, "", "   "])
def test_no_authorization_is_1001(caller, authorization):
    assert asked(caller, authorization)[:2] == (401, 1001)


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        ("Bearer sk-wrong", "The token was expected to have 3 parts, but got 0"),
        ("Bearer one.two", "The token was expected to have 3 parts, but got 2"),
        ("Bearer a.b.c.d", "The token was expected to have 3 parts, but got > 3"),
        ("Bearer a.b.c", "The token can't be decoded"),
        ("Bearer e30.W10.c2ln", "The token can't be decoded"),
        ("Basic emulator-key", "Authorization is invalid"),
        ("Bearer", "Authorization is invalid"),
        ("emulator-key", "Authorization is invalid"),
    ],
)
def test_a_malformed_authorization_is_1002(caller, authorization, message):
    assert asked(caller, authorization) == (401, 1002, message)


def test_another_algorithm_is_1002(caller, clock):
    # Long enough for HS512, which the service does not take.
    assert asked(caller, f"Bearer {token(clock, secret=SECRET * 2, algorithm='HS512')}")[:2] == (401, 1002)


def test_a_token_without_an_end_is_1002(caller, clock):
    now = int(clock.time())
    unending = jwt.encode({"iss": ACCESS, "nbf": now}, SECRET, algorithm="HS256")
    assert asked(caller, f"Bearer {unending}")[:2] == (401, 1002)


def test_a_wrong_issuer_or_signature_is_1000(caller, clock):
    assert asked(caller, f"Bearer {token(clock, issuer='another')}")[:2] == (401, 1000)
    assert asked(caller, f"Bearer {token(clock, secret=SECRET[::-1])}")[:2] == (401, 1000)


def test_a_token_from_the_future_is_1003_and_an_old_one_1004(caller, clock):
    assert asked(caller, f"Bearer {token(clock, nbf=30)}")[:2] == (401, 1003)
    good = token(clock)
    clock.advance(1799)
    assert asked(caller, f"Bearer {good}") == NOT_FOUND
    clock.advance(1)
    assert asked(caller, f"Bearer {good}")[:2] == (401, 1004)


def test_a_service_whose_clock_is_off_says_so_by_code_and_date(caller, clock, emulator):
    emulator.settings.clock_offset = -60
    assert asked(caller, f"Bearer {token(clock)}")[:2] == (401, 1003)
    emulator.settings.clock_offset = 3600
    assert asked(caller, f"Bearer {token(clock)}")[:2] == (401, 1004)
    answer = caller.http.get("/v1/videos/text2video/nope")
    assert answer.headers["Date"] == "Thu, 01 Oct 2026 13:00:00 GMT"


def test_the_tasks_route_takes_the_api_key_only(caller, clock):
    for refused in (token(clock), "garbage"):
        assert asked(caller, f"Bearer {refused}", "/tasks?task_ids=1") == (401, 1002, API_KEY_ONLY)
    caller.http.headers["Authorization"] = "Bearer emulator-key"
    assert caller.http.get("/tasks?task_ids=1").json()["data"] == []


def test_an_account_without_an_api_key_refuses_the_demo_key(caller, emulator):
    emulator.settings.api_key = None
    assert asked(caller, "Bearer emulator-key")[:2] == (401, 1002)
