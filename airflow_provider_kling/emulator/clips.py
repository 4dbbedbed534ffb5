"""The clip of a task: a landscape that passes by, drawn from the prompt alone, with the prompt written below.

The same prompt always gives the same bytes; another prompt gives other colours, shapes and speeds.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache

from airflow_provider_kling.emulator import h264, mp4
from airflow_provider_kling.emulator.canvas import GLYPH_WIDTH, Canvas, Colour, colour, mixed

FRAMES_PER_SECOND = 24

#: Shown size by aspect ratio.
SIZES = {"16:9": (320, 180), "9:16": (180, 320), "1:1": (240, 240)}

WATERMARK = "KLING EMULATOR"


class _Dice:
    """Numbers that follow from a text, on every Python alike."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._count = 0

    def fraction(self) -> float:
        """Return the next number in [0, 1)."""
        self._count += 1
        digest = hashlib.sha256(f"{self._count}:{self._text}".encode("utf-8", "replace")).digest()
        return int.from_bytes(digest[:6], "big") / 2**48

    def between(self, low: float, high: float) -> float:
        """Return the next number in [low, high)."""
        return low + (high - low) * self.fraction()

    def whole(self, low: int, high: int) -> int:
        """Return the next whole number, ``high`` included."""
        return low + int(self.fraction() * (high - low + 1))


@lru_cache(maxsize=32)
def render(prompt: str, aspect_ratio: str, seconds: int, *, watermark: bool = False) -> bytes:
    """Return an MP4 of ``seconds`` and one frame (as the service's 5 s are 5.041 s), about 120 KB."""
    width, height = SIZES.get(aspect_ratio, SIZES["16:9"])
    scene = _Scene(prompt, width, height, watermark=watermark)
    canvas = scene.canvas
    columns, rows = scene.columns, scene.rows
    frames = [[h264.key_frame(columns, rows, bytes(canvas.luma), bytes(canvas.blue), bytes(canvas.red))]]
    mover = h264.RowMover(columns, scene.period)
    for number in range(1, seconds * FRAMES_PER_SECOND + 1):
        frames.append(mover.frame(number, [int(speed * number) for speed in scene.speeds]))
    sps = h264.sequence_parameters(columns, rows, width, height, FRAMES_PER_SECOND)
    pps = h264.picture_parameters()
    return mp4.mux(frames, sps, pps, width=width, height=height, frames_per_second=FRAMES_PER_SECOND)


class _Scene:
    """A picture in bands of macroblock rows, and how fast each band passes."""

    def __init__(self, prompt: str, width: int, height: int, *, watermark: bool) -> None:
        self.columns, self.rows = -(-width // 16), -(-height // 16)
        self.canvas = Canvas(self.columns * 16, self.rows * 16)
        #: One macroblock less than the width, see ``RowMover``.
        self.period = self.canvas.width - 16
        self._dice = dice = _Dice(prompt)
        caption_row = height // 16 - 1
        sky, far, near = self._bands(caption_row)
        hue, night = dice.fraction(), dice.fraction() < 0.35
        top = colour(hue, 0.65, 0.25 if night else 0.75)
        low = colour(hue + dice.between(0.05, 0.3), 0.45, 0.5 if night else 0.98)
        for y in range(self.canvas.height):
            self.canvas.bar(0, y, self.canvas.width, y + 1, mixed(top, low, min(1.0, y / (near * 16))))
        self._sky(sky * 16, hue, night=night)
        land = dice.fraction()
        value = dice.between(0.3, 0.5) if night else dice.between(0.5, 0.8)
        distant = mixed(low, colour(land, 0.5, value), 0.6)
        self._silhouette(sky * 16, far * 16, distant)
        self.canvas.bar(0, far * 16, self.canvas.width, near * 16, distant)
        ridge = colour(land + dice.between(0.0, 0.15), 0.7, value * 0.75)
        self._silhouette(far * 16, near * 16, ridge)
        self._ground(near * 16, caption_row * 16, colour(land + 0.4, 0.6, value * 0.9))
        self.canvas.repeat(self.period)
        self._caption(prompt, width, caption_row, WATERMARK if watermark else "")
        pace = dice.between(0.7, 1.5) * (-1 if dice.fraction() < 0.5 else 1)
        self.speeds = [0.3 * pace] * sky + [1.0 * pace] * (far - sky) + [2.2 * pace] * (near - far)
        self.speeds += [3.5 * pace] * (caption_row - near) + [0.0] * (self.rows - caption_row)

    def _bands(self, rows: int) -> tuple[int, int, int]:
        sky = max(3, round(rows * self._dice.between(0.35, 0.5)))
        far = sky + max(2, round(rows * 0.2))
        return sky, far, min(rows - 1, far + max(2, round(rows * 0.22)))

    def _sky(self, height: int, hue: float, *, night: bool) -> None:
        dice, canvas = self._dice, self.canvas
        for _ in range(dice.whole(25, 45) if night else 0):
            x, y = dice.whole(0, self.period - 1), dice.whole(0, height - 3)
            canvas.bar(x, y, x + 1, y + 1 + (dice.fraction() < 0.3), colour(hue, 0.05, 0.95))
        radius = dice.whole(height // 8, height // 4)
        x = dice.whole(radius, self.period - radius - 1)
        y = dice.whole(radius + 1, height - radius - 2)
        light = colour(0.12, 0.1, 0.95) if night else colour(dice.between(0.0, 0.16), 0.75, 1.0)
        canvas.disc(x, y, radius, light)
        for _ in range(0 if night else dice.whole(1, 4)):
            self._cloud(height)

    def _cloud(self, height: int) -> None:
        dice = self._dice
        size = dice.whole(3, max(4, height // 11))
        x = dice.whole(3 * size, self.period - 3 * size - 1)
        y = dice.whole(2 * size + 1, height - 2)
        white = colour(0.6, 0.04, 0.98)
        for step, share in ((-1.6, 0.55), (0.0, 1.0), (1.5, 0.7)):
            self.canvas.disc(x + int(step * size), y - int(share * size), int(share * size), white)
        self.canvas.bar(x - 2 * size, y - size // 2, x + 2 * size, y, white)

    def _silhouette(self, top: int, bottom: int, paint: Colour) -> None:
        kind = self._dice.whole(0, 2)
        if kind == 0:
            self._town(top, bottom, paint)
            return
        dice, height = self._dice, bottom - top
        cycles, ripples, phase = dice.whole(1, 3), dice.whole(3, 7), dice.fraction()
        for x in range(self.period):
            turn = x / self.period
            if kind == 1:
                wave = 0.5 + 0.35 * math.sin(math.tau * (cycles * turn + phase))
                wave += 0.12 * math.sin(math.tau * ripples * turn)
            else:
                wave = 0.25 + 0.5 * abs(2 * ((cycles * turn * 2 + phase) % 1) - 1)
                wave += 0.2 * abs(2 * (ripples * turn % 1) - 1)
            self.canvas.bar(x, bottom - int(wave * height), x + 1, bottom, paint)

    def _town(self, top: int, bottom: int, paint: Colour) -> None:
        dice, x = self._dice, 0
        window = colour(0.14, 0.55, 0.95)
        while x < self.period:
            width = dice.whole(6, 12) * 2
            roof = bottom - int((bottom - top) * dice.between(0.3, 0.98))
            right = min(x + width, self.period)
            self.canvas.bar(x, roof, right - 2, bottom, paint)
            for y in range(roof + 4, bottom - 4, 6):
                for at in range(x + 2, right - 6, 6):
                    if dice.fraction() < 0.5:
                        self.canvas.bar(at, y, at + 2, y + 2, window)
            x += width

    def _ground(self, top: int, bottom: int, paint: Colour) -> None:
        dice = self._dice
        self.canvas.bar(0, top, self.period, bottom, paint)
        light = mixed(paint, (235, 128, 128), 0.35)
        for _ in range(dice.whole(8, 18)):
            x, y = dice.whole(0, self.period - 1), dice.whole(top + 2, max(top + 2, bottom - 4))
            self.canvas.bar(x, y, min(x + dice.whole(8, 34), self.period), y + 2, light)

    def _caption(self, prompt: str, width: int, row: int, mark: str) -> None:
        white, dark = colour(0.0, 0.0, 0.92), colour(0.0, 0.0, 0.08)
        self.canvas.bar(0, row * 16, self.canvas.width, self.canvas.height, dark)
        left = width - len(mark) * GLYPH_WIDTH - 6 if mark else width
        words = " ".join(prompt.split())
        if sum(letter.isascii() for letter in words) * 2 < len(words):
            # The font has no such letters; tell this prompt from others all the same.
            words = "prompt " + hashlib.sha256(prompt.encode("utf-8", "replace")).hexdigest()[:8]
        fits = (left - 8) // GLYPH_WIDTH
        shown = words if len(words) <= fits else words[: fits - 3] + "..."
        self.canvas.text(4, row * 16 + 5, shown, white)
        if mark:
            self.canvas.bar(left, row * 16 + 2, width, row * 16 + 15, white)
            self.canvas.text(left + 3, row * 16 + 5, mark, dark)
