"""The emulator as an httpx transport: no port, no waiting, the exceptions a real connection would raise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import httpx

from airflow_provider_kling.emulator.app import Emulator
from airflow_provider_kling.emulator.messages import Request, Response

_CHUNK = 16_384


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that may end in a broken connection."""

    def __init__(self, body: bytes, broken: Exception | None) -> None:
        self._body = body
        self._broken = broken

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._body), _CHUNK):
            yield self._body[start : start + _CHUNK]
        if self._broken is not None:
            raise self._broken

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


class EmulatorTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Mount an emulator in ``httpx.Client(transport=…)`` or ``httpx.AsyncClient(transport=…)``.

    Every host leads to it. A delay longer than the request's read timeout is an ``httpx.ReadTimeout`` at
    once; a shorter one is none.

    :param emulator: what answers.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request of a sync client."""
        return self._exchange(request, request.read())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request of an async client."""
        return self._exchange(request, await request.aread())

    def _exchange(self, request: httpx.Request, body: bytes) -> httpx.Response:
        wait = _patience(request)
        asked = Request.of(
            request.method, request.url.raw_path.decode(), request.headers, body, request.url.scheme
        )
        answer = self.emulator.handle(asked, wait)
        match answer.wire.drop:
            case "connect":
                raise httpx.ConnectError("[Errno 111] Connection refused", request=request)
            case "close":
                message = "Server disconnected without sending a response."
                raise httpx.RemoteProtocolError(message, request=request)
            case "reset":
                raise httpx.ReadError("[Errno 104] Connection reset by peer", request=request)
            case "hang":
                # Also for a client without a read timeout: a test that hangs tells nobody anything.
                raise httpx.ReadTimeout("The read operation timed out", request=request)
        wait(answer.wire.delay)
        if answer.wire.bytes_per_second:
            wait(1 / answer.wire.bytes_per_second)
        stream = _body_of(answer, request)
        return httpx.Response(answer.status, headers=answer.headers, stream=stream, request=request)


def _patience(request: httpx.Request) -> Callable[[float], None]:
    timeout = request.extensions.get("timeout", {}).get("read")

    def wait(seconds: float) -> None:
        if timeout is not None and seconds > timeout:
            raise httpx.ReadTimeout("The read operation timed out", request=request)

    return wait


def _body_of(answer: Response, request: httpx.Request) -> _Body:
    if request.method == "HEAD":
        return _Body(b"", None)
    length = int(answer.headers["Content-Length"])
    arrives = answer.body[:length] if answer.wire.cut is None else answer.body[: answer.wire.cut]
    if len(arrives) >= length:
        return _Body(arrives, None)
    message = (
        "peer closed connection without sending complete message body "
        f"(received {len(arrives)} bytes, expected {length})"
    )
    return _Body(arrives, httpx.RemoteProtocolError(message, request=request))
