"""Two thin drivers of the same flows: :class:`KlingClient`, and :class:`AsyncKlingClient` for asyncio."""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

import httpx

from airflow_provider_kling import __version__
from airflow_provider_kling.api.auth import KlingAuth
from airflow_provider_kling.api.flows import Flow, NoAnswer, Outcome, Send, Sleep
from airflow_provider_kling.api.wire import Answer
from airflow_provider_kling.exceptions import KlingInputError

T = TypeVar("T")

#: Seconds. A create answers within a few; a read that takes longer is better asked again.
CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 60.0

#: Errors of httpx that mean the request never left: everything else may have reached the service.
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


@dataclass(frozen=True)
class ClientSettings:
    """Where and how to call.

    :param base_url: scheme, host and path prefix, without a trailing slash.
    :param auth: the credentials.
    :param timeout: seconds to wait for an answer.
    :param proxy: URL of a proxy.
    :param verify: ``False``, or the path of a CA bundle, instead of the usual certificates.
    """

    base_url: str
    auth: KlingAuth
    timeout: float = READ_TIMEOUT
    proxy: str | None = field(default=None, repr=False)
    verify: bool | str = True

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments that both kinds of httpx client share."""
        # One line per request is noise in a task log; what matters is logged when it changes.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        return {
            "base_url": self.base_url,
            "auth": self.auth,
            "headers": {"User-Agent": f"airflow-provider-kling/{__version__}"},
            "timeout": httpx.Timeout(self.timeout, connect=CONNECT_TIMEOUT, pool=CONNECT_TIMEOUT),
            "proxy": _proxy(self.proxy),
            "verify": ssl_context(self.verify),
        }


@functools.lru_cache(maxsize=8)
def ssl_context(verify: bool | str = True) -> ssl.SSLContext:
    """One TLS context for the whole process: making one takes some 20 ms, too long for an event loop."""
    if isinstance(verify, str):
        try:
            return ssl.create_default_context(cafile=verify)
        except OSError as e:
            raise KlingInputError(
                f"verify: {verify!r} can't be read as a file of CA certificates ({e}). Nothing was bought."
            ) from e
    return httpx.create_ssl_context(verify=verify)


def _proxy(url: str | None) -> httpx.Proxy | None:
    if url is None:
        return None
    try:
        return httpx.Proxy(url)
    except (ValueError, httpx.InvalidURL):
        # Not quoted: it may hold a password.
        raise KlingInputError(
            "proxy: it is not an address like http://proxy.example:3128. Nothing was bought; correct the "
            "connection's extra."
        ) from None


def _request(send: Send) -> dict[str, Any]:
    return {
        "method": send.method,
        "url": send.path,
        "params": dict(send.params) if send.params else None,
        "json": dict(send.body) if send.body is not None else None,
    }


def _answer(response: httpx.Response, auth: KlingAuth) -> Answer:
    headers = {name: response.headers[name] for name in ("date", "retry-after") if name in response.headers}
    # JSON is UTF-8 whatever the header says; a charset that Python can't decode must not lose the answer.
    text = response.content.decode("utf-8-sig", "replace")
    return Answer(response.status_code, auth.mask(text), headers)


def _no_answer(error: Exception, auth: KlingAuth) -> NoAnswer:
    sent = not isinstance(error, (*_NEVER_SENT, httpx.InvalidURL))
    return NoAnswer(sent, auth.mask(_reason(error)))


def _reason(error: BaseException) -> str:
    """What the network said, in words that tell a wrong host from a missing network."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            if cause.errno == socket.EAI_AGAIN:
                return f"names can't be looked up at the moment, is there a network? ({cause})"
            return f"no such host, check its spelling ({cause})"
        if isinstance(cause, OSError) and cause.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
            return f"no route, is there a network? ({cause})"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {cause}"
        cause = cause.__cause__ or cause.__context__
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class KlingClient:
    """Drives flows with blocking calls. Close it, or use it in a ``with``.

    :param settings: where and how to call.
    :param transport: instead of the network, for tests.
    :param sleep: pauses; a test moves its own clock.
    """

    def __init__(
        self,
        settings: ClientSettings,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings
        self._sleep = sleep
        self._http = httpx.Client(transport=transport, **settings.arguments())

    def run(self, flow: Flow[T]) -> T:
        """Do what the flow wants done; return its value or raise its error."""
        outcome: Outcome = None
        try:
            while True:
                step = flow.send(outcome)
                if isinstance(step, Sleep):
                    self._sleep(step.seconds)
                    outcome = None
                else:
                    outcome = self._send(step)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # StopIteration.value is untyped; Flow[T] says T
        finally:
            flow.close()

    def _send(self, send: Send) -> Outcome:
        try:
            return _answer(self._http.request(**_request(send)), self.settings.auth)
        except (httpx.RequestError, httpx.InvalidURL) as e:
            return _no_answer(e, self.settings.auth)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> KlingClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncKlingClient:
    """Drives flows on an event loop. Bound to the loop it is first used on.

    Parameters as of :class:`KlingClient`.
    """

    def __init__(
        self,
        settings: ClientSettings,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self.settings = settings
        self._sleep = sleep
        self._http = httpx.AsyncClient(transport=transport, **settings.arguments())

    async def run(self, flow: Flow[T]) -> T:
        """Do what the flow wants done; return its value or raise its error."""
        outcome: Outcome = None
        try:
            while True:
                step = flow.send(outcome)
                if isinstance(step, Sleep):
                    await self._sleep(step.seconds)
                    outcome = None
                else:
                    outcome = await self._send(step)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # StopIteration.value is untyped; Flow[T] says T
        finally:
            flow.close()

    async def _send(self, send: Send) -> Outcome:
        try:
            return _answer(await self._http.request(**_request(send)), self.settings.auth)
        except (httpx.RequestError, httpx.InvalidURL) as e:
            return _no_answer(e, self.settings.auth)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncKlingClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
