"""From the video host into a writer: in pieces, checked on the way, taken up again where it broke off.

The host gets no credentials of any kind. Reads only: nothing here can buy anything.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import queue
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from airflow_provider_kling import __version__
from airflow_provider_kling.api.client import CONNECT_TIMEOUT, ClientSettings, ssl_context
from airflow_provider_kling.api.polling import backoff
from airflow_provider_kling.landing.container import ContainerCheck, NotAVideoError
from airflow_provider_kling.landing.writers import Writer

log = logging.getLogger(__name__)

#: Attempts in a row that come no farther, and attempts at all.
FRUITLESS_MAX = 5
ATTEMPTS_MAX = 30
#: Bytes that one read from the network takes at most. httpx's 64 KB cost half as much time again in Python.
READ_BYTES = 2**18
#: Bytes that are handed on at once, and how many such blocks may wait for the disk. Joining what was read
#: to one piece would be slower: large pieces of memory are handed back to the system each time.
BLOCK_BYTES = 2**20
BLOCKS_WAITING = 4

#: Trouble that passes.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class DownloadError(Exception):
    """It did not work out.

    :param expired: the host refuses the address, or answers with something that is no video.
    """

    def __init__(self, message: str, *, expired: bool = False) -> None:
        super().__init__(message)
        self.expired = expired


@dataclass(frozen=True)
class Downloaded:
    """What arrived: bytes, and their SHA-256 in hexadecimal."""

    size: int
    sha256: str


class _BrokenOff(Exception):
    """The body did not come to its end. ``again`` seconds were asked for, where they were."""

    def __init__(self, message: str, again: float | None = None) -> None:
        super().__init__(message)
        self.again = again


class _Pump:
    """Checks and hashes as the bytes arrive, and writes them in a thread of its own: it takes as long."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._blocks: queue.Queue[list[bytes] | None] = queue.Queue(BLOCKS_WAITING)
        self._error: BaseException | None = None
        self._begin()
        self._thread = threading.Thread(target=self._work, name="kling-landing", daemon=True)
        self._thread.start()

    def _begin(self) -> None:
        self.size = 0
        self._hash = hashlib.sha256()
        self._check = ContainerCheck()

    def put(self, block: list[bytes]) -> None:
        """Hand on some pieces; waits while the disk is behind.

        :raises NotAVideoError: they are not a video's. Or what went wrong with writing earlier ones.
        """
        self._raise()
        for piece in block:
            self._check.feed(piece)
            self._hash.update(piece)
            self.size += len(piece)
        self._blocks.put(block)

    def settle(self) -> None:
        """Wait until everything is written. Raises what went wrong."""
        self._blocks.join()
        self._raise()

    def restart(self) -> None:
        """Forget all of it."""
        self._blocks.join()
        self._error = None
        self._begin()
        self._writer.restart()

    @property
    def problem(self) -> str:
        """What is wrong with it as a video."""
        return self._check.problem

    def result(self) -> Downloaded:
        """Size and hash of what was written."""
        return Downloaded(self.size, self._hash.hexdigest())

    def stop(self) -> None:
        """End the thread."""
        self._blocks.put(None)
        self._thread.join()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (block := self._blocks.get()) is not None:
            try:
                if self._error is None:
                    for piece in block:
                        self._writer.write(piece)
            except BaseException as e:
                self._error = e
            finally:
                self._blocks.task_done()


class _LargeReads:
    """A network backend or stream of httpx, which reads more at once."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> Any:
        return self._inner.read(max(max_bytes, READ_BYTES), timeout)

    def connect_tcp(self, *arguments: Any, **named: Any) -> Any:
        return _LargeReads(self._inner.connect_tcp(*arguments, **named))

    def start_tls(self, *arguments: Any, **named: Any) -> Any:
        return _LargeReads(self._inner.start_tls(*arguments, **named))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@dataclass
class Download:
    """One video.

    :param url: where it lies now.
    :param refresh: asks for another address; called once at most, when the first one is refused.
    :param settings: of the connection; of it only proxy, TLS and timeout are used. A CA bundle is trusted
        besides the usual certificates, not instead of them.
    :param sleep: pauses.
    """

    url: str
    refresh: Callable[[], str]
    settings: ClientSettings
    sleep: Callable[[float], None] = time.sleep
    _total: int | None = field(default=None, init=False)
    #: What says that the host still has the same bytes: a strong ETag, or the time of the last change.
    _validator: str = field(default="", init=False)

    def into(self, writer: Writer) -> Downloaded:
        """Fetch it. The writer is neither committed nor aborted.

        :raises DownloadError: it can't be had, now or at all.
        :raises OSError: the writer's.
        """
        fruitless = best = 0
        refreshed = False
        with self._client() as client, _pumping(writer) as pump:
            for attempt in range(1, ATTEMPTS_MAX + 1):
                try:
                    self._fetch(client, pump)
                    return pump.result()
                except (DownloadError, NotAVideoError) as e:
                    expired = getattr(e, "expired", True)
                    if refreshed or not expired:
                        raise DownloadError(str(e), expired=expired) from e
                    log.info("The video's address does not work (%s); asking Kling for a fresh one.", e)
                    refreshed, self.url = True, self.refresh()
                    if isinstance(e, NotAVideoError):
                        self._restart(pump)
                except _BrokenOff as e:
                    # Farther than ever is progress. The same bytes over and over are not.
                    fruitless = 1 if pump.size > best else fruitless + 1
                    best = max(best, pump.size)
                    if fruitless >= FRUITLESS_MAX or attempt == ATTEMPTS_MAX:
                        raise DownloadError(f"{e} (attempt {attempt})") from e
                    log.info("The download broke off at %s bytes (%s); going on.", f"{pump.size:,}", e)
                    self.sleep(backoff(fruitless, e.again))
        raise DownloadError(f"it broke off {ATTEMPTS_MAX} times")

    def _client(self) -> httpx.Client:
        # One line per request is noise in a task log, and the address may carry a signature.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        client = httpx.Client(
            headers={"User-Agent": f"airflow-provider-kling/{__version__}", "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(self.settings.timeout, connect=CONNECT_TIMEOUT),
            proxy=self.settings.proxy,
            verify=_trust(self.settings.verify),
            follow_redirects=True,
        )
        for transport in (client._transport, *client._mounts.values()):
            pool: Any = getattr(transport, "_pool", None)
            # Not of httpx's interface: where it is no more, downloads are slower, and that is all.
            if hasattr(pool, "_network_backend"):
                pool._network_backend = _LargeReads(pool._network_backend)
        return client

    def _restart(self, pump: _Pump) -> None:
        pump.restart()
        self._total, self._validator = None, ""

    def _fetch(self, client: httpx.Client, pump: _Pump) -> None:
        if not self.url.lower().startswith(("http://", "https://")):
            raise DownloadError(f"its address is not one of the web: {shown(self.url)!r}")
        if pump.size and not self._validator:
            # Nobody could say whether the rest is the rest of the same video.
            self._restart(pump)
        headers = {}
        if pump.size:
            headers = {"Range": f"bytes={pump.size}-", "If-Range": self._validator}
        try:
            with client.stream("GET", self.url, headers=headers) as response:
                self._accept(response, pump)
                self._receive(response, pump)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as e:
            raise DownloadError(f"its address can't be used: {e}", expired=True) from e
        except (httpx.TransportError, httpx.TooManyRedirects) as e:
            pump.settle()
            raise _BrokenOff(f"{type(e).__name__}: {e}") from e
        pump.settle()
        if self._total is not None and pump.size != self._total:
            raise _BrokenOff(f"{pump.size:,} of {self._total:,} bytes came")
        if problem := pump.problem:
            if self._total is None:
                # The host did not say how much there is: it may well have broken off.
                raise _BrokenOff(f"what came is not a whole video: {problem}")
            raise NotAVideoError(f"what came is not a whole video: {problem}")

    def _accept(self, response: httpx.Response, pump: _Pump) -> None:
        """Read an answer's head: is it what was asked for?"""
        status = response.status_code
        encoding = response.headers.get("content-encoding", "identity")
        if status in (200, 206) and encoding.lower() != "identity":
            raise DownloadError(
                f"the host sent it compressed (Content-Encoding: {encoding[:50]}), which was not asked for",
                expired=True,
            )
        if status == 206 and pump.size:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("content-range", ""))
            total = self._total or int(found[2] if found else 0)
            if found and (int(found[1]), int(found[2])) == (pump.size, total) and self._same(response):
                return
        if status in (206, 416):
            self._restart(pump)
            raise _BrokenOff("the host gave another part than was asked for")
        if status in _PASSING:
            again = response.headers.get("retry-after", "")
            raise _BrokenOff(f"the host answered HTTP {status}", float(again) if again.isdecimal() else None)
        if status != 200:
            # Mostly 403 and 404: the address has expired, or the host has the video no longer.
            raise DownloadError(f"the host answered HTTP {status}", expired=status < 500)
        if pump.size:
            # It does not know ranges, or has something else there now.
            self._restart(pump)
        length = response.headers.get("content-length", "")
        self._total = int(length) if length.isdecimal() else None
        etag = response.headers.get("etag", "")
        weak = not etag or etag.startswith("W/")
        self._validator = response.headers.get("last-modified", "") if weak else etag

    def _same(self, response: httpx.Response) -> bool:
        """Whether a part is of what the first one was of, for a host that does not heed ``If-Range``."""
        name = "etag" if self._validator.startswith('"') else "last-modified"
        # Without it the host has heeded If-Range, as far as anybody can tell.
        return bool(response.headers.get(name, self._validator) == self._validator)

    @staticmethod
    def _receive(response: httpx.Response, pump: _Pump) -> None:
        pieces: list[bytes] = []
        size = 0
        try:
            for piece in response.iter_raw():
                pieces.append(piece)
                size += len(piece)
                if size >= BLOCK_BYTES:
                    pump.put(pieces)
                    pieces, size = [], 0
        finally:
            # Also where it broke off: what came need not come again.
            if pieces:
                pump.put(pieces)


@contextmanager
def _pumping(writer: Writer) -> Iterator[_Pump]:
    pump = _Pump(writer)
    try:
        yield pump
    finally:
        pump.stop()


@functools.lru_cache(maxsize=8)
def _trust(verify: bool | str) -> ssl.SSLContext:
    """The connection's own CA is of its relay or proxy: the video host may well have a public one."""
    if not isinstance(verify, str):
        return ssl_context(verify)
    # Says what is wrong with the file; and must not be changed, the API is called with it.
    ssl_context(verify)
    context = httpx.create_ssl_context()
    context.load_verify_locations(cafile=verify)
    return context


def shown(url: str) -> str:
    """Without the query, which may be a signature."""
    return url.partition("?")[0][:200]
