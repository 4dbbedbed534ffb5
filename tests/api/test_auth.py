"""Who calls: a static key or a signed token, renewed in time, and never shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest

from airflow_provider_kling.api import flows
from airflow_provider_kling.api.auth import AccessKeyAuth, ApiKeyAuth, KlingAuth
from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.api.client import ClientSettings, KlingClient
from airflow_provider_kling.emulator import Emulator, ManualClock, Settings
from airflow_provider_kling.emulator.transport import EmulatorTransport
from airflow_provider_kling.exceptions import (
    KlingAuthenticationError,
    KlingInputError,
    KlingTaskNotFoundError,
)

ACCESS, SECRET = "access-key-0123456789", "secret-key-0123456789-0123456789-0123456789"
KEY = "api-key-kling-0123456789"


def header_of(auth: KlingAuth, answers: list[httpx.Response] | None = None) -> list[str]:
    """The Authorization headers that a call sends."""
    sent: list[str] = []
    left = list(answers or [httpx.Response(200)])

    def serve(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers["authorization"])
        return left.pop(0)

    with httpx.Client(transport=httpx.MockTransport(serve), auth=auth) as client:
        client.post("https://kling.test/v1/videos/text2video")
    return sent


def claims_of(header: str) -> dict[str, Any]:
    kind, _, token = header.partition(" ")
    assert kind == "Bearer"
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    options: Any = {"verify_exp": False, "verify_nbf": False}
    return jwt.decode(token, SECRET, algorithms=["HS256"], options=options)


def test_an_api_key_is_a_static_bearer() -> None:
    assert header_of(ApiKeyAuth(KEY)) == [f"Bearer {KEY}"]


def test_a_token_has_the_claims_of_klings_example_and_no_others() -> None:
    clock = ManualClock(1_790_000_000.9)
    (header,) = header_of(AccessKeyAuth(ACCESS, SECRET, clock=clock.time))
    assert claims_of(header) == {"iss": ACCESS, "exp": 1_790_001_800, "nbf": 1_789_999_970}
    assert SECRET not in header


def test_a_token_is_kept_until_a_minute_before_its_end() -> None:
    clock = ManualClock(1_790_000_000)
    auth = AccessKeyAuth(ACCESS, SECRET, clock=clock.time)
    (first,) = header_of(auth)
    clock.advance(1739)
    assert header_of(auth) == [first]
    clock.advance(1)
    (second,) = header_of(auth)
    assert second != first
    assert claims_of(second)["exp"] == 1_790_000_000 + 1740 + 1800


def reply(code: object, status: int = 401) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "message": "token"})


@pytest.mark.parametrize("code", [1003, 1004, "1004"])
def test_a_token_refused_for_its_times_is_signed_once_more(code: object) -> None:
    clock = ManualClock(1_790_000_000)
    auth = AccessKeyAuth(ACCESS, SECRET, clock=clock.time)
    header_of(auth)
    clock.advance(100)
    old, new = header_of(auth, [reply(code), httpx.Response(200)])
    assert claims_of(new)["exp"] - claims_of(old)["exp"] == 100
    assert header_of(auth) == [new]


@pytest.mark.parametrize("code", [1003, 1004])
def test_it_is_signed_once_more_and_only_once(code: int) -> None:
    auth = AccessKeyAuth(ACCESS, SECRET, clock=ManualClock().time)
    assert len(header_of(auth, [reply(code), reply(code), httpx.Response(200)])) == 2


@pytest.mark.parametrize(
    "response",
    [
        reply(1000),
        reply(1002),
        reply(None),
        reply([1004]),
        reply({}),
        reply(1004, 200),
        reply(1004, 403),
        httpx.Response(401),
        httpx.Response(401, text="<html>"),
        httpx.Response(401, content=b"\xff\xfe"),
        httpx.Response(401, text="[" * 100_000),
    ],
)
def test_any_other_refusal_is_final(response: httpx.Response) -> None:
    assert len(header_of(AccessKeyAuth(ACCESS, SECRET), [response])) == 1


def test_an_api_key_is_never_tried_again() -> None:
    assert len(header_of(ApiKeyAuth(KEY), [reply(1004)])) == 1


@pytest.mark.parametrize("bad", ["", "with space", "tab\t", "line\n", "clé-0123456789", "\x00", "ключ"])
@pytest.mark.parametrize(
    "make", [ApiKeyAuth, lambda k: AccessKeyAuth(k, SECRET), lambda k: AccessKeyAuth(ACCESS, k)]
)
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(
    make: Callable[[str], KlingAuth], bad: str
) -> None:
    with pytest.raises(KlingInputError, match="key is empty, or has blanks.*Nothing was bought") as caught:
        make(bad)
    assert not bad or bad not in str(caught.value)


def test_keys_and_tokens_are_struck_from_what_is_quoted() -> None:
    clock = ManualClock()
    auth = AccessKeyAuth(ACCESS, SECRET, clock=clock.time)
    old = header_of(auth)[0].removeprefix("Bearer ")
    clock.advance(1800)
    new = header_of(auth)[0].removeprefix("Bearer ")
    quoted = auth.mask(f"{old} {new} {ACCESS} {SECRET} Authorization: bearer abc.def-1 rest")
    assert quoted == "*** *** *** *** Authorization: bearer *** rest"
    assert ApiKeyAuth(KEY).mask(f"key={KEY}!") == "key=***!"


def test_a_short_key_of_a_test_set_up_leaves_answers_readable() -> None:
    assert ApiKeyAuth("sk").mask('{"task_id": "risk"}') == '{"task_id": "risk"}'


def test_a_signed_address_of_a_video_is_left_as_it_is() -> None:
    url = "https://cdn.example/v.mp4?token=" + jwt.encode({"sub": "v"}, SECRET, algorithm="HS256")
    assert AccessKeyAuth(ACCESS, SECRET).mask(url) == url


def test_secrets_are_not_in_a_repr() -> None:
    auth = AccessKeyAuth(ACCESS, SECRET)
    shown = repr(auth) + repr(ClientSettings("https://k.test", auth, proxy="http://user:hidden@proxy:1"))
    assert not any(secret in shown for secret in (ACCESS, SECRET, "hidden"))


# Against the emulator, which checks the signature and the times itself


def probe(auth: KlingAuth, clock: ManualClock, **settings: Any) -> None:
    emulator = Emulator(Settings(api_key=None, access_key=ACCESS, secret_key=SECRET, **settings), clock=clock)
    client_settings = ClientSettings("https://kling.test/kling", auth)
    with KlingClient(client_settings, transport=EmulatorTransport(emulator), sleep=clock.advance) as client:
        client.run(flows.get_task("nope", TaskKind.TEXT2VIDEO))


def test_the_service_accepts_the_token(clock: ManualClock) -> None:
    with pytest.raises(KlingTaskNotFoundError):
        probe(AccessKeyAuth(ACCESS, SECRET, clock=clock.time), clock)


@pytest.mark.parametrize("offset", [-29, 1700])
def test_clocks_may_differ_a_little(clock: ManualClock, offset: float) -> None:
    with pytest.raises(KlingTaskNotFoundError):
        probe(AccessKeyAuth(ACCESS, SECRET, clock=clock.time), clock, clock_offset=offset)


@pytest.mark.parametrize(("offset", "said"), [(-31, "1003: .*ahead"), (1801, "1004: .*behind")])
def test_a_clock_that_is_off_is_named(clock: ManualClock, offset: float, said: str) -> None:
    with pytest.raises(KlingAuthenticationError, match=said):
        probe(AccessKeyAuth(ACCESS, SECRET, clock=clock.time), clock, clock_offset=offset)


def test_a_wrong_secret_is_an_authentication_error(clock: ManualClock) -> None:
    with pytest.raises(KlingAuthenticationError, match="1000"):
        probe(AccessKeyAuth(ACCESS, SECRET[::-1], clock=clock.time), clock)
