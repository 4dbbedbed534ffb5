"""A picture to draw on: three planes as H.264 wants them, colours at half size."""

from __future__ import annotations

import colorsys

Colour = tuple[int, int, int]

#: Columns of 7 dots, the lowest bit on top, 5 columns per character from space to underscore.
_GLYPHS = bytes.fromhex(
    "0000000000 00005f0000 0007000700 147f147f14 242a7f2a12 2313086462 3649562050 0008070300"
    "001c224100 0041221c00 2a1c7f1c2a 08083e0808 0080703000 0808080808 0000606000 2010080402"
    "3e5149453e 00427f4000 7249494946 2141494d33 1814127f10 2745454539 3c4a494931 4121110907"
    "3649494936 464949291e 0000140000 0040340000 0008142241 1414141414 0041221408 0201590906"
    "3e415d594e 7c1211127c 7f49494936 3e41414122 7f4141413e 7f49494941 7f09090901 3e41415173"
    "7f0808087f 00417f4100 2040413f01 7f08142241 7f40404040 7f021c027f 7f0408107f 3e4141413e"
    "7f09090906 3e4151215e 7f09192946 2649494932 03017f0103 3f4040403f 1f2040201f 3f4038403f"
    "6314081463 0304780403 6159494d43 007f414141 0204081020 004141417f 0402010204 4040404040"
)
GLYPH_WIDTH = 6


def colour(hue: float, saturation: float, value: float) -> Colour:
    """Return a colour as BT.601 has it, in studio range."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return (
        round(16 + 65.481 * red + 128.553 * green + 24.966 * blue),
        round(128 - 37.797 * red - 74.203 * green + 112.0 * blue),
        round(128 + 112.0 * red - 93.786 * green - 18.214 * blue),
    )


def mixed(one: Colour, other: Colour, share: float) -> Colour:
    """Return a colour between two; ``share`` 0 is the first, 1 the second."""
    first, second, third = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return first, second, third


class Canvas:
    """Draws bars; everything else is made of them. Parts outside are left away.

    :param width: of the luma plane, even.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.luma = bytearray(width * height)
        self.blue = bytearray(width * height // 4)
        self.red = bytearray(width * height // 4)

    def bar(self, left: int, top: int, right: int, bottom: int, paint: Colour) -> None:
        """Fill a rectangle; ``right`` and ``bottom`` are outside of it."""
        left, right = max(0, left), min(self.width, right)
        top, bottom = max(0, top), min(self.height, bottom)
        if left >= right or top >= bottom:
            return
        self._fill(self.luma, self.width, (left, top, right, bottom), paint[0])
        half = (left // 2, top // 2, (right + 1) // 2, (bottom + 1) // 2)
        self._fill(self.blue, self.width // 2, half, paint[1])
        self._fill(self.red, self.width // 2, half, paint[2])

    def disc(self, x: int, y: int, radius: int, paint: Colour) -> None:
        """Fill a circle."""
        for line in range(-radius, radius + 1):
            reach = int((radius * radius - line * line) ** 0.5)
            self.bar(x - reach, y + line, x + reach + 1, y + line + 1, paint)

    def text(self, left: int, top: int, words: str, paint: Colour) -> None:
        """Write capital letters, seven dots high; what the font lacks is a question mark."""
        for position, letter in enumerate(words.upper()):
            code = ord(letter) - 32
            glyph = code if 0 <= code < len(_GLYPHS) // 5 else ord("?") - 32
            for column, dots in enumerate(_GLYPHS[glyph * 5 : glyph * 5 + 5]):
                for line in range(8):
                    if dots >> line & 1:
                        x, y = left + position * GLYPH_WIDTH + column, top + line
                        self.bar(x, y, x + 1, y + 1, paint)

    def repeat(self, period: int) -> None:
        """Let everything from ``period`` on repeat the left edge."""
        for plane, width in (
            (self.luma, self.width),
            (self.blue, self.width // 2),
            (self.red, self.width // 2),
        ):
            at = period * width // self.width
            for start in range(0, len(plane), width):
                plane[start + at : start + width] = plane[start : start + width - at]

    @staticmethod
    def _fill(plane: bytearray, width: int, box: tuple[int, int, int, int], value: int) -> None:
        left, top, right, bottom = box
        if right - left == 1:
            plane[top * width + left : (bottom - 1) * width + left + 1 : width] = bytes([value]) * (
                bottom - top
            )
            return
        line = bytes([value]) * (right - left)
        for start in range(top * width, bottom * width, width):
            plane[start + left : start + right] = line
