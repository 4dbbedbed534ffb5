"""A very small H.264 writer (ITU-T H.264, constrained baseline): one picture, and the moving of its rows.

A clip is one key frame of raw samples (I_PCM macroblocks: no transform, no rounding) and then frames that
only say, for each row of macroblocks, from where in the key frame it is copied. Every frame refers to the key
frame and none to another, so nothing drifts, and a frame is a few hundred bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Edge of a macroblock.
MACROBLOCK = 16

#: Level 2: up to 396 macroblocks per frame.
LEVEL = 20
PROFILE = 66
_CONSTRAINTS = 0xC0

_LOG2_MAX_FRAME_NUM = 4
#: Output order counts two per frame, from the key frame on: 12 bits are enough for 1,000 frames.
_LOG2_MAX_ORDER = 12

_I_SLICE, _P_SLICE = 7, 5
_MB_TYPE_I_PCM = 25

_NAL_FRAME, _NAL_KEY_FRAME, _NAL_SPS, _NAL_PPS = 0x01, 0x65, 0x67, 0x68

_ESCAPED = re.compile(rb"\x00\x00(?=[\x00-\x03])")


def ue(value: int) -> str:
    """Exp-Golomb code of an unsigned number (9.1), as text of 0 and 1."""
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def se(value: int) -> str:
    """Exp-Golomb code of a signed number (9.1.1)."""
    return ue(2 * value - 1 if value > 0 else -2 * value)


def _u(width: int, value: int) -> str:
    return f"{value:0{width}b}"


def _bytes(bits: str) -> bytes:
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def _nal(kind: int, bits: str) -> bytes:
    bits += "1"
    return _escaped(kind, _bytes(bits + "0" * (-len(bits) % 8)))


def _escaped(kind: int, payload: bytes) -> bytes:
    # No start code may appear inside (7.4.1).
    return bytes([kind]) + _ESCAPED.sub(b"\x00\x00\x03", payload)


def sequence_parameters(columns: int, rows: int, width: int, height: int, frames_per_second: int) -> bytes:
    """Return the SPS (7.3.2.1): size in macroblocks, cropped to ``width`` and ``height`` (even)."""
    right, bottom = (columns * MACROBLOCK - width) // 2, (rows * MACROBLOCK - height) // 2
    bits = _u(8, PROFILE) + _u(8, _CONSTRAINTS) + _u(8, LEVEL) + ue(0)
    bits += ue(_LOG2_MAX_FRAME_NUM - 4) + ue(0) + ue(_LOG2_MAX_ORDER - 4)
    bits += ue(1) + "0" + ue(columns - 1) + ue(rows - 1)
    bits += "11" + "1" + ue(0) + ue(right) + ue(0) + ue(bottom)
    # VUI (E.1.1): square samples, BT.601 colours, frame rate, frames in the order they are shown.
    bits += "1" + "1" + _u(8, 1) + "0"
    bits += "1" + _u(3, 5) + "0" + "1" + _u(8, 6) * 3 + "0"
    bits += "1" + _u(32, 1) + _u(32, 2 * frames_per_second) + "1"
    bits += "000" + "1" + "1" + ue(0) + ue(0) + ue(11) + ue(11) + ue(0) + ue(1)
    return _nal(_NAL_SPS, bits)


def picture_parameters() -> bytes:
    """Return the PPS (7.3.2.2): CAVLC, one slice group, deblocking under the slices' control."""
    return _nal(_NAL_PPS, ue(0) * 2 + "00" + ue(0) * 3 + "000" + se(0) * 3 + "100")


def key_frame(columns: int, rows: int, luma: bytes, blue: bytes, red: bytes) -> bytes:
    """Return the slice of a picture given as three planes, the colours at half size."""
    head = ue(0) + ue(_I_SLICE) + ue(0) + _u(_LOG2_MAX_FRAME_NUM, 0) + ue(0) + _u(_LOG2_MAX_ORDER, 0)
    head += "00" + se(0) + ue(1) + ue(_MB_TYPE_I_PCM)
    parts = [_bytes(head + "0" * (-len(head) % 8))]
    # After raw samples the next macroblock starts on a whole byte.
    again = ue(_MB_TYPE_I_PCM)
    again_bytes = _bytes(again + "0" * (-len(again) % 8))
    width, half = columns * MACROBLOCK, columns * MACROBLOCK // 2
    for row in range(rows):
        for column in range(columns):
            if row or column:
                parts.append(again_bytes)
            start = row * MACROBLOCK * width + column * MACROBLOCK
            parts += [luma[at : at + 16] for at in range(start, start + 16 * width, width)]
            start = row * 8 * half + column * 8
            for plane in (blue, red):
                parts += [plane[at : at + 8] for at in range(start, start + 8 * half, half)]
    return _escaped(_NAL_KEY_FRAME, b"".join(parts) + b"\x80")


class RowMover:
    """Writes the frames after the key frame.

    :param columns: macroblocks in a row.
    :param period: after how many samples a row repeats itself; at most the width less one macroblock, so that
        every macroblock finds its content inside the picture, to its right or to its left.
    """

    def __init__(self, columns: int, period: int) -> None:
        self._columns = columns
        self._period = period
        self._rows: dict[int, str] = {0: ue(columns)}

    def frame(self, number: int, shifts: Sequence[int]) -> list[bytes]:
        """Return the slices of one frame: row after row, each moved to the left by its number of samples."""
        head = ue(_P_SLICE) + ue(0) + _u(_LOG2_MAX_FRAME_NUM, 1) + _u(_LOG2_MAX_ORDER, 2 * number)
        head += "00" + se(0) + ue(1)
        return [
            _nal(_NAL_FRAME, ue(row * self._columns) + head + self._row(shift % self._period))
            for row, shift in enumerate(shifts)
        ]

    def _row(self, shift: int) -> str:
        bits = self._rows.get(shift)
        if bits is None:
            bits = self._rows[shift] = self._moved(shift)
        return bits

    def _moved(self, shift: int) -> str:
        # A row is a slice of its own: the vector is predicted from the left neighbour alone (8.4.1.3).
        predicted, last = 0, (self._columns - 1) * MACROBLOCK
        bits = []
        for column in range(self._columns):
            vector = shift if column * MACROBLOCK + shift <= last else shift - self._period
            # No skip, P_L0_16x16, difference of the vector in quarter samples, nothing left over.
            bits.append(ue(0) + ue(0) + se(4 * (vector - predicted)) + se(0) + ue(0))
            predicted = vector
        return "".join(bits)
