"""The clip of a task. Placeholder bytes for now."""

from __future__ import annotations


def render(prompt: str, aspect_ratio: str, seconds: int, *, watermark: bool = False) -> bytes:
    """Return an MP4."""
    head = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomavc1"
    return head + f"{prompt}{aspect_ratio}{seconds}{watermark}".encode() * 100
