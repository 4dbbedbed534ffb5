"""The two drivers: where they call, what they say about the network, and when a create may have left."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from airflow_provider_kling import __version__
from airflow_provider_kling.api import flows
from airflow_provider_kling.api.auth import ApiKeyAuth
from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.api.client import AsyncKlingClient, ClientSettings, KlingClient, ssl_context
from airflow_provider_kling.api.flows import Flow, NoAnswer, Outcome, Send, Sleep
from airflow_provider_kling.api.wire import Answer
from airflow_provider_kling.exceptions import KlingConnectionError, KlingError, KlingInputError

KEY = "api-key-kling-0123456789"
CREATE = Send("POST", "/v1/videos/text2video", body={"prompt": "狐 🦊"})


def settings(base_url: str = "https://kling.test", **more: Any) -> ClientSettings:
    return ClientSettings(base_url, ApiKeyAuth(KEY), **more)


def one(send: Send) -> Flow[Outcome]:
    return (yield send)


def call(serve: Callable[[httpx.Request], httpx.Response], send: Send = CREATE, **more: Any) -> Any:
    """The outcome of one request; both clients must agree on it."""
    transport = httpx.MockTransport(serve)

    async def asynchronous() -> Any:
        async with AsyncKlingClient(settings(**more), transport=transport) as client:
            return await client.run(one(send))

    with KlingClient(settings(**more), transport=transport) as client:
        outcome = client.run(one(send))
    assert asyncio.run(asynchronous()) == outcome
    return outcome


def request_of(send: Send = CREATE, **more: Any) -> httpx.Request:
    seen: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, text="{}")

    call(serve, send, **more)
    assert str(seen[0].url) == str(seen[1].url)
    return seen[0]


# Where and how


@pytest.mark.parametrize("base_url", ["https://relay.example/kling", "https://relay.example/a/b/kling"])
def test_a_base_url_keeps_its_path(base_url: str) -> None:
    assert str(request_of(base_url=base_url).url) == f"{base_url}/v1/videos/text2video"


def test_a_request_says_who_it_is_from_and_carries_json() -> None:
    request = request_of()
    assert request.headers["user-agent"] == f"airflow-provider-kling/{__version__}"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert request.content.decode() == '{"prompt":"狐 🦊"}'


def test_a_read_has_a_query_and_no_body() -> None:
    request = request_of(Send("GET", "/v1/videos/text2video", {"pageNum": 1, "pageSize": 30}))
    assert request.url.query == b"pageNum=1&pageSize=30"
    assert request.content == b""


def test_every_timeout_is_said() -> None:
    assert request_of().extensions["timeout"] == {"connect": 10.0, "read": 60.0, "write": 60.0, "pool": 10.0}
    assert request_of(timeout=5.0).extensions["timeout"]["read"] == 5.0


def test_an_escaped_id_stays_escaped_on_the_wire() -> None:
    request = request_of(Send("GET", "/v1/videos/text2video/a%2Fb"), base_url="https://r.example/kling")
    assert request.url.raw_path == b"/kling/v1/videos/text2video/a%2Fb"


def test_redirects_are_not_followed_with_the_key_in_hand() -> None:
    outcome = call(lambda request: httpx.Response(302, headers={"location": "https://evil.example"}))
    assert outcome.status == 302


def test_one_tls_context_serves_the_whole_process() -> None:
    assert ssl_context(True) is ssl_context(True)
    assert settings().arguments()["verify"] is settings("https://other.test").arguments()["verify"]
    assert ssl_context(True).verify_mode is ssl.CERT_REQUIRED
    assert ssl_context(False).verify_mode is ssl.CERT_NONE


def test_certificates_of_ones_own_are_read_from_their_file(tmp_path: Any) -> None:
    import certifi

    assert ssl_context(certifi.where()).verify_mode is ssl.CERT_REQUIRED
    with pytest.raises(KlingInputError, match="verify: '.*nope.pem' can't be read.*Nothing was bought"):
        ssl_context(str(tmp_path / "nope.pem"))
    (tmp_path / "junk.pem").write_text("junk")
    with pytest.raises(KlingInputError, match="verify"):
        ssl_context(str(tmp_path / "junk.pem"))


def test_requests_of_httpx_are_not_in_the_task_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    request_of()
    assert [r for r in caplog.records if r.name == "httpx" and r.levelno < logging.WARNING] == []


@pytest.mark.parametrize("proxy", ["garbage", "ftp://user:hidden@proxy", "http://user:hidden@[::1"])
def test_a_proxy_that_is_none_is_refused_without_its_password(proxy: str) -> None:
    with pytest.raises(KlingInputError, match="proxy: it is not an address") as caught:
        KlingClient(settings(proxy=proxy))
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None


# Answers


def test_an_answer_has_its_status_its_text_and_two_headers() -> None:
    headers = {"Retry-After": "7", "Date": "Sun, 22 Nov 2026 15:00:00 GMT", "Set-Cookie": "a=b"}
    assert call(lambda r: httpx.Response(429, text='{"code": 1302}', headers=headers)) == Answer(
        429, '{"code": 1302}', {"retry-after": "7", "date": "Sun, 22 Nov 2026 15:00:00 GMT"}
    )


@pytest.mark.parametrize("charset", ["hex", "utf-16", "no-such-thing", "latin-1", "base64", "idna"])
def test_json_is_utf8_whatever_the_charset_says(charset: str) -> None:
    body = "\ufeff" + '{"message": "狐"}'
    headers = {"content-type": f"application/json; charset={charset}"}
    outcome = call(lambda r: httpx.Response(200, content=body.encode(), headers=headers))
    assert outcome.text == '{"message": "狐"}'


def test_a_key_that_is_echoed_is_struck_from_the_answer() -> None:
    outcome = call(lambda r: httpx.Response(401, text=f"bad key {r.headers['authorization']} {KEY}"))
    assert outcome.text == "bad key Bearer *** ***"


# Silence: did the create leave?

NEVER_LEFT = [
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
]
#: All others, whatever httpx adds: what is not known to be safe counts as sent.
MAYBE_SENT = [
    httpx.ReadError,
    httpx.ReadTimeout,
    httpx.WriteError,
    httpx.WriteTimeout,
    httpx.CloseError,
    httpx.RemoteProtocolError,
    httpx.LocalProtocolError,
    httpx.DecodingError,
    httpx.TooManyRedirects,
]


def raising(error: Exception) -> Callable[[httpx.Request], httpx.Response]:
    def serve(request: httpx.Request) -> httpx.Response:
        raise error

    return serve


@pytest.mark.parametrize("kind", NEVER_LEFT)
def test_what_certainly_never_left_may_be_sent_again(kind: type[Exception]) -> None:
    assert call(raising(kind("words"))) == NoAnswer(False, f"{kind.__name__}: words")


@pytest.mark.parametrize("kind", MAYBE_SENT)
def test_everything_else_may_have_reached_the_service(kind: type[Exception]) -> None:
    assert call(raising(kind("words"))) == NoAnswer(True, f"{kind.__name__}: words")


def test_every_exception_of_httpx_is_in_one_of_the_two_lists() -> None:
    def leaves(kind: type[Exception]) -> Iterator[type[Exception]]:
        for sub in kind.__subclasses__():
            if sub.__subclasses__():
                yield from leaves(sub)
            elif sub.__module__.startswith("httpx"):
                yield sub

    assert set(leaves(httpx.RequestError)) <= {*NEVER_LEFT, *MAYBE_SENT}


def test_an_error_without_words_is_named() -> None:
    assert call(raising(httpx.ReadTimeout(""))) == NoAnswer(True, "ReadTimeout")


def test_a_key_in_an_error_is_struck_out() -> None:
    assert KEY not in call(raising(httpx.LocalProtocolError(f"Illegal header value b'Bearer {KEY}'"))).reason


def caused_by(cause: BaseException) -> httpx.ConnectError:
    error = httpx.ConnectError("All connection attempts failed")
    middle = RuntimeError("httpcore")
    middle.__context__ = cause
    error.__cause__ = middle
    return error


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "no such host, check its spelling"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "names can't be looked up at the moment"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "no route, is there a network?"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "no route, is there a network?"),
        (ssl.SSLCertVerificationError(1, "self-signed certificate"), "TLS failed: "),
        (OSError(errno.ECONNREFUSED, "Connection refused"), "ConnectError: All connection attempts failed"),
    ],
)
def test_a_wrong_host_a_missing_network_and_bad_tls_are_told_apart(cause: Exception, said: str) -> None:
    outcome = call(raising(caused_by(cause)))
    assert outcome.reason.startswith(said)
    assert not outcome.sent


# Real sockets of this machine


def outcome_at(base_url: str, **more: Any) -> NoAnswer:
    async def asynchronous() -> Any:
        async with AsyncKlingClient(settings(base_url, **more)) as client:
            return await client.run(one(CREATE))

    with KlingClient(settings(base_url, **more)) as client:
        outcome = client.run(one(CREATE))
    assert isinstance(outcome, NoAnswer)
    assert asyncio.run(asynchronous()).sent is outcome.sent
    return outcome


@pytest.fixture
def rude_server() -> Iterator[int]:
    """Takes the request, says something that is not HTTP, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"220 smtp.example ESMTP\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_port_where_nobody_listens_was_never_sent() -> None:
    outcome = outcome_at(f"http://127.0.0.1:{closed_port()}")
    assert not outcome.sent
    assert "refused" in outcome.reason or "attempts failed" in outcome.reason


def test_tls_that_fails_was_never_sent(rude_server: int) -> None:
    outcome = outcome_at(f"https://127.0.0.1:{rude_server}")
    assert not outcome.sent
    assert outcome.reason.startswith("TLS failed: ")


def test_a_server_that_speaks_no_http_may_have_taken_the_request(rude_server: int) -> None:
    outcome = outcome_at(f"http://127.0.0.1:{rude_server}")
    assert outcome.sent


def test_a_proxy_that_is_down_was_never_sent_and_its_password_is_not_quoted() -> None:
    outcome = outcome_at("http://kling.test", proxy=f"http://user:hidden@127.0.0.1:{closed_port()}")
    assert not outcome.sent
    assert "hidden" not in outcome.reason


def test_a_scheme_that_is_none_was_never_sent() -> None:
    assert not outcome_at("gopher://kling.test").sent


def test_what_a_user_reads_names_the_host_problem_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    error = caused_by(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    transport = httpx.MockTransport(raising(error))
    with (
        KlingClient(settings(), transport=transport, sleep=lambda seconds: None) as client,
        pytest.raises(
            KlingConnectionError, match="no such host.*bought nothing.*Check the connection's host"
        ),
    ):
        client.run(flows.get_task("7", TaskKind.TEXT2VIDEO))


# Driving


def test_pauses_are_slept_by_both_clients() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    def pausing() -> Flow[str]:
        assert (yield Sleep(1.5)) is None
        return "done"

    async def asynchronous() -> str:
        async with AsyncKlingClient(settings(), sleep=sleep) as client:
            return await client.run(pausing())

    with KlingClient(settings(), sleep=slept.append) as client:
        assert client.run(pausing()) == asyncio.run(asynchronous()) == "done"
    assert slept == [1.5, 1.5]


def test_a_flow_is_closed_when_its_driver_is_interrupted() -> None:
    closed: list[str] = []

    def watched() -> Flow[None]:
        try:
            yield Sleep(1)
        finally:
            closed.append("yes")

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    async def cancel(seconds: float) -> None:
        raise asyncio.CancelledError

    async def asynchronous() -> None:
        async with AsyncKlingClient(settings(), sleep=cancel) as client:
            await client.run(watched())

    with KlingClient(settings(), sleep=interrupt) as client, pytest.raises(KeyboardInterrupt):
        client.run(watched())
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(asynchronous())
    assert closed == ["yes", "yes"]


def test_an_error_of_the_flow_comes_out_as_it_is() -> None:
    def failing() -> Flow[None]:
        yield Sleep(0)
        raise KlingInputError("no")

    with KlingClient(settings(), sleep=lambda s: None) as client, pytest.raises(KlingError, match="^no$"):
        client.run(failing())
