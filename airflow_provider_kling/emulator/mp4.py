"""An MP4 file around the frames of one H.264 track (ISO/IEC 14496-12 and -15), index first."""

from __future__ import annotations

import struct
from collections.abc import Sequence

#: Ticks per frame; with them ticks per second is 512 times the frame rate, as ffmpeg has it.
_TICKS_PER_FRAME = 512
_MOVIE_TICKS = 1000

_IDENTITY = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_UNDETERMINED_LANGUAGE = 0x55C4


def _box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8) + name + body


def _full(name: bytes, flags: int, *parts: bytes) -> bytes:
    return _box(name, struct.pack(">I", flags), *parts)


def mux(
    frames: Sequence[Sequence[bytes]],
    sps: bytes,
    pps: bytes,
    *,
    width: int,
    height: int,
    frames_per_second: int,
) -> bytes:
    """Return the file. ``frames`` are lists of NAL units, the first of them a key frame and no other."""
    samples = [b"".join(struct.pack(">I", len(nal)) + nal for nal in frame) for frame in frames]
    ftyp = _box(b"ftyp", b"isom", struct.pack(">I", 512), b"isomiso2avc1mp41")

    entry = _sample_entry(sps, pps, width, height)

    def moov(first_byte: int) -> bytes:
        return _movie(len(samples), width, height, frames_per_second, _table(samples, entry, first_byte))

    # The index comes first ("fast start") and says where the data begins; its size does not depend on that.
    start = len(ftyp) + len(moov(0)) + 8
    return ftyp + moov(start) + _box(b"mdat", *samples)


def _movie(count: int, width: int, height: int, frames_per_second: int, table: bytes) -> bytes:
    ticks = count * _TICKS_PER_FRAME
    movie_ticks = count * _MOVIE_TICKS // frames_per_second
    media_info = _box(
        b"minf",
        _full(b"vmhd", 1, bytes(8)),
        _box(b"dinf", _full(b"dref", 0, struct.pack(">I", 1), _full(b"url ", 1))),
        table,
    )
    media = _box(
        b"mdia",
        _full(
            b"mdhd",
            0,
            struct.pack(
                ">4I2H", 0, 0, frames_per_second * _TICKS_PER_FRAME, ticks, _UNDETERMINED_LANGUAGE, 0
            ),
        ),
        _full(b"hdlr", 0, bytes(4), b"vide", bytes(12), b"VideoHandler\x00"),
        media_info,
    )
    track_head = _full(
        b"tkhd",
        3,
        struct.pack(">5I", 0, 0, 1, 0, movie_ticks),
        bytes(16),
        _IDENTITY,
        struct.pack(">2I", width << 16, height << 16),
    )
    movie_head = _full(
        b"mvhd",
        0,
        struct.pack(">4I", 0, 0, _MOVIE_TICKS, movie_ticks),
        struct.pack(">IH", 0x10000, 0x100),
        bytes(10),
        _IDENTITY,
        bytes(24),
        struct.pack(">I", 2),
    )
    return _box(b"moov", movie_head, _box(b"trak", track_head, media))


def _sample_entry(sps: bytes, pps: bytes, width: int, height: int) -> bytes:
    config = _box(
        b"avcC",
        bytes([1]) + sps[1:4] + b"\xff\xe1",
        struct.pack(">H", len(sps)) + sps,
        b"\x01" + struct.pack(">H", len(pps)) + pps,
    )
    return _box(
        b"avc1",
        bytes(6) + struct.pack(">H", 1) + bytes(16),
        struct.pack(">2H2I", width, height, 0x480000, 0x480000),
        bytes(4) + struct.pack(">H", 1) + bytes(32) + struct.pack(">Hh", 24, -1),
        config,
    )


def _table(samples: Sequence[bytes], entry: bytes, first_byte: int) -> bytes:
    count = len(samples)
    return _box(
        b"stbl",
        _full(b"stsd", 0, struct.pack(">I", 1), entry),
        _full(b"stts", 0, struct.pack(">3I", 1, count, _TICKS_PER_FRAME)),
        _full(b"stss", 0, struct.pack(">2I", 1, 1)),
        _full(b"stsc", 0, struct.pack(">4I", 1, 1, count, 1)),
        _full(b"stsz", 0, struct.pack(">2I", 0, count), *(struct.pack(">I", len(item)) for item in samples)),
        _full(b"stco", 0, struct.pack(">2I", 1, first_byte)),
    )
