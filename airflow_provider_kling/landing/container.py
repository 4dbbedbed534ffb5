"""Is it a video, and all of it? Looks at the outer structure only, as the bytes go by.

Source: ISO/IEC 14496-12 (boxes of MP4 and QuickTime); Matroska and WebM begin with an EBML header.
"""

from __future__ import annotations

#: What the first box of an MP4 or QuickTime file may be.
_FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})
_EBML = b"\x1a\x45\xdf\xa3"
#: Bytes of a box's header: size and type, and once more as many where the size needs 64 bits.
_HEADER, _LONG_HEADER = 8, 16


class NotAVideoError(ValueError):
    """The bytes are something else, such as an error page."""


class ContainerCheck:
    """Walks the outer boxes of an MP4 while it is downloaded; keeps a few bytes, never a box.

    A body that was cut has a last box that goes on beyond its end, whatever its ``Content-Length`` said.
    """

    def __init__(self) -> None:
        self._head = b""
        self._skip = 0
        self._boxes: set[bytes] = set()
        #: A box that goes on to the end of the file, or bytes after the last box: nothing to check there.
        self._open_end = False
        self._started = False

    def feed(self, data: bytes | memoryview) -> None:
        """Take the next bytes.

        :raises NotAVideoError: they are not a video's.
        """
        position, end = 0, len(data)
        while position < end and not self._open_end:
            if self._skip:
                step = min(self._skip, end - position)
                self._skip -= step
                position += step
                continue
            step = min(self._wanted - len(self._head), end - position)
            self._head += bytes(data[position : position + step])
            position += step
            if len(self._head) >= self._wanted:
                self._box()

    @property
    def problem(self) -> str:
        """What is wrong with what was fed so far, taken as the whole file; empty if nothing is."""
        if not self._started:
            return f"it has only {len(self._head)} bytes" if self._head else "it is empty"
        if self._skip:
            return f"its last part lacks {self._skip} bytes"
        for kind, meaning in ((b"moov", "index"), (b"mdat", "pictures")):
            if self._boxes and kind not in self._boxes:
                return f"it has no {meaning} ({kind.decode()}): its end is missing"
        return ""

    @property
    def _wanted(self) -> int:
        long = len(self._head) >= _HEADER and int.from_bytes(self._head[:4], "big") == 1
        return _LONG_HEADER if long else _HEADER

    def _box(self) -> None:
        size, kind = int.from_bytes(self._head[:4], "big"), self._head[4:8]
        if not self._started:
            self._started = True
            if self._head.startswith(_EBML):
                self._open_end = True
                return
            if kind not in _FIRST_BOXES:
                raise NotAVideoError(f"it begins with {self._head!r}")
        length = len(self._head)
        if size == 1:
            size = int.from_bytes(self._head[8:16], "big")
        if not (size == 0 or size >= length) or not all(32 <= byte < 127 or byte == 0xA9 for byte in kind):
            # Padding after the last box. It is none of ours.
            self._open_end = True
            return
        self._boxes.add(kind)
        self._open_end = size == 0
        self._skip = 0 if size == 0 else size - length
        self._head = b""
