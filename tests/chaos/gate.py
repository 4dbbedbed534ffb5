"""A TCP relay on the loopback interface that can be shut: a broken network, a lost database."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType


class Gate:
    """Passes connections on to another port while it is open. Use as a context manager.

    :param port: where it leads.
    :param host: where it leads.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._target = (host, port)
        self._lock = threading.Lock()
        self._through: set[socket.socket] = set()
        self._listener = self._listen(0)
        #: Where clients connect to; stays the same.
        self.port = int(self._listener.getsockname()[1])

    def open(self) -> None:
        """Let connections through again."""
        self._listener = self._listen(self.port)

    def shut(self) -> None:
        """Refuse new connections and cut those under way."""
        with self._lock:
            self._listener.close()
            cut, self._through = self._through, set()
        for side in cut:
            _close(side)

    def __enter__(self) -> Gate:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shut()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
        # A closed listener does not wake a thread that waits in accept().
        listener.settimeout(0.1)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            client.settimeout(None)
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            with self._lock:
                is_open = listener.fileno() >= 0
                if is_open:
                    self._through |= {client, server}
            if not is_open:
                _close(client)
                _close(server)
                return
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for side in (source, sink):
            _close(side)
        with self._lock:
            self._through -= {source, sink}


def _close(side: socket.socket) -> None:
    with contextlib.suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)
    side.close()
