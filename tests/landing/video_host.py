"""A video host of its own: large bodies that nobody has to hold in memory, over a real socket."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_PIECE = bytes(2**20)


def head(size: int) -> bytes:
    """The beginning of an MP4 of ``size`` bytes: type, an empty index, and pictures up to the end."""
    first = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + b"\0\0\0\x08moov"
    return first + b"\0\0\0\1mdat" + (size - len(first)).to_bytes(8, "big")


def sha256(size: int) -> str:
    """Of the body that :class:`VideoHost` gives."""
    digest = hashlib.sha256(head(size))
    left = size - len(head(size))
    while left:
        piece = min(left, len(_PIECE))
        digest.update(_PIECE[:piece])
        left -= piece
    return digest.hexdigest()


@dataclass
class VideoHost:
    """Serves one video of zeros at any path.

    :param size: bytes.
    :param stall_at: nothing more comes after this many bytes, until ``let_go``; for tests that kill.
    :param breaks: the next requests break off after so many bytes each.
    """

    size: int
    stall_at: int | None = None
    breaks: list[int] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    stalled: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            text = b""
            while b"\r\n\r\n" not in text:
                got = connection.recv(65536)
                if not got:
                    return
                text += got
            wanted = [x for x in text.decode().split("\r\n") if x.lower().startswith("range:")]
            self.ranges.append(wanted[0].partition("=")[2] if wanted else "")
            start = int(self.ranges[-1].split("-")[0]) if wanted else 0
            limit = self.breaks.pop(0) if self.breaks else None
            status = f"206 Partial Content\r\nContent-Range: bytes {start}-{self.size - 1}/{self.size}"
            lines = [
                f"HTTP/1.1 {status if start else '200 OK'}",
                f"Content-Length: {self.size - start}",
                'Content-Type: video/mp4\r\nETag: "zeros"\r\nConnection: close\r\n\r\n',
            ]
            connection.sendall("\r\n".join(lines).encode())
            self._send(connection, start, self.size if limit is None else min(self.size, start + limit))

    def _send(self, connection: socket.socket, at: int, end: int) -> None:
        first = head(self.size)
        while at < end:
            if self.stall_at is not None and at >= self.stall_at:
                self.stalled.set()
                self.let_go.wait()
            stop = end if self.stall_at is None or at >= self.stall_at else min(end, self.stall_at)
            if at < len(first):
                piece: Any = first[at : min(stop, len(first))]
            else:
                piece = memoryview(_PIECE)[: min(stop - at, len(_PIECE))]
            connection.sendall(piece)
            at += len(piece)


@contextlib.contextmanager
def serving(host: VideoHost) -> Iterator[VideoHost]:
    """On a free port, while the block runs."""
    listener = socket.create_server(("127.0.0.1", 0))
    host.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v.mp4"

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=host.serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        host.let_go.set()
        # Closing alone does not wake a thread that waits in accept().
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
