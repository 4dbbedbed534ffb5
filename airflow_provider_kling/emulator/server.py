"""The emulator on a real socket: the standard library's threading HTTP server, with real faults."""

from __future__ import annotations

import contextlib
import http
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from airflow_provider_kling.emulator.app import Emulator
from airflow_provider_kling.emulator.callbacks import CallbackSender
from airflow_provider_kling.emulator.messages import Request, Response

#: Larger bodies are refused; the largest legitimate create has some 20 KB.
BODY_MAX_BYTES = 4_000_000

#: How often tasks with callbacks are looked after.
TICK_SECONDS = 0.05

#: Pieces of a slow body per second.
_PIECES_PER_SECOND = 20


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: EmulatorServer

    def _serve(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > BODY_MAX_BYTES or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            self._send(Response(413, b"", {"Content-Length": "0"}))
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return
        request = Request.of(self.command, self.path, dict(self.headers.items()), body)
        self._send(self.server.emulator.handle(request, self.server.wait))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _send(self, answer: Response) -> None:
        wire = answer.wire
        if wire.drop:
            if wire.drop == "hang":
                self.server.wait(wire.delay)
            self.close_connection = True
            if wire.drop in ("reset", "connect"):
                self.server.abort(self.connection)
            return
        self.server.wait(wire.delay)
        length = int(answer.headers["Content-Length"])
        body = answer.body[:length] if wire.cut is None else answer.body[: wire.cut]
        if len(body) < length and self.command != "HEAD":
            self.close_connection = True
        try:
            reason = http.HTTPStatus(answer.status).phrase
        except ValueError:
            reason = ""
        lines = [f"HTTP/1.1 {answer.status} {reason}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        if self.close_connection and wire.cut is None and wire.claimed_length is None:
            lines.append("Connection: close")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        try:
            self._write(head, body, wire.bytes_per_second)
        except OSError:
            # The client has gone: its business.
            self.close_connection = True

    def _write(self, head: bytes, body: bytes, bytes_per_second: float | None) -> None:
        if bytes_per_second is None:
            self.wfile.write(head + body)
            return
        self.wfile.write(head)
        piece = max(1, int(bytes_per_second / _PIECES_PER_SECOND))
        for start in range(0, len(body), piece):
            self.server.wait(piece / bytes_per_second)
            self.wfile.write(body[start : start + piece])

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing per request; the ledger has it."""


class EmulatorServer(ThreadingHTTPServer):
    """One thread per connection; connections are kept alive.

    :param emulator: what answers.
    :param host: address to listen on.
    :param port: 0 for any free one.
    :raises OSError: the address can't be had.
    """

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, emulator: Emulator, host: str = "127.0.0.1", port: int = 0) -> None:
        self.emulator = emulator
        self._stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        self._aborted: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)
        self._sender = CallbackSender()
        emulator.deliver = self._sender.send
        self._own_threads = [
            threading.Thread(target=self._tick, name="kling-emulator-clock", daemon=True),
            threading.Thread(target=self.serve_forever, args=(0.05,), name="kling-emulator", daemon=True),
        ]

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        """Base URL, prefix included, as a connection's host has it."""
        host = str(self.server_address[0])
        # A wildcard is where it listens, not where anybody connects to.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self.port}{self.emulator.settings.prefix}"

    def server_bind(self) -> None:
        """Bind, without the reverse look-up of the host's name that the standard library makes here."""
        self.allow_reuse_address = True
        socket_address = self.server_address
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(socket_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        for thread in self._own_threads:
            thread.start()

    def stop(self) -> None:
        """Stop answering and close every connection; delays under way end at once."""
        self._stopping.set()
        self.shutdown()
        self.server_close()
        with self._connections_lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._own_threads:
            thread.join(5)
        self.emulator.deliver = None
        self._sender.stop()

    def wait(self, seconds: float) -> None:
        """Let time pass, until the server stops at the latest."""
        if seconds > 0:
            self._stopping.wait(seconds)

    def abort(self, connection: socket.socket) -> None:
        """Make the closing of this connection a TCP reset."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._aborted.add(connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, so that it can be closed from here."""
        with self._connections_lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection; one that is aborted without the polite half that would send a FIN first."""
        with self._connections_lock:
            self._connections.discard(request)
        if request in self._aborted:
            self._aborted.discard(request)
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep silent about clients that hang up; let everything else be seen."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def _tick(self) -> None:
        while not self._stopping.wait(TICK_SECONDS):
            self.emulator.tick()


@contextlib.contextmanager
def running(emulator: Emulator, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve ``emulator`` while the block runs; gives the base URL, prefix included."""
    server = EmulatorServer(emulator, host, port)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()
