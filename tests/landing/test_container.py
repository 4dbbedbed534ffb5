"""What a whole video looks like from outside, however its bytes are cut into pieces."""

from __future__ import annotations

import pytest

from airflow_provider_kling.emulator import clips
from airflow_provider_kling.landing.container import ContainerCheck, NotAVideoError
from tests.landing.video_host import head


def box(kind: bytes, content: bytes = b"", *, long: bool = False) -> bytes:
    if long:
        return b"\0\0\0\1" + kind + (16 + len(content)).to_bytes(8, "big") + content
    return (8 + len(content)).to_bytes(4, "big") + kind + content


WHOLE = box(b"ftyp", b"isom") + box(b"moov", b"index") + box(b"mdat", b"pictures")


def problem(data: bytes, piece: int = 7) -> str:
    check = ContainerCheck()
    for start in range(0, len(data), piece):
        check.feed(data[start : start + piece])
    return check.problem


@pytest.mark.parametrize("piece", [1, 3, 8, 1000])
@pytest.mark.parametrize(
    "data",
    [
        WHOLE,
        box(b"ftyp", b"isom") + box(b"mdat", b"pictures", long=True) + box(b"moov", b"index"),
        box(b"ftyp") + box(b"moov") + b"\0\0\0\0mdat" + b"up to the end",
        WHOLE + b"\0\0\0",
        WHOLE + b"\xff" * 32,
        b"\x1a\x45\xdf\xa3" + b"webm" * 10,
    ],
    ids=["short boxes", "a long box", "open end", "few bytes more", "padding", "webm"],
)
def test_a_whole_video_passes(data: bytes, piece: int) -> None:
    assert problem(data, piece) == ""


def test_a_clip_of_the_emulator_passes_and_no_part_of_it_does() -> None:
    clip = clips.render("A fox", "16:9", 5)
    assert problem(clip, 4096) == ""
    for size in (0, 5, 100, len(clip) // 2, len(clip) - 1):
        assert problem(clip[:size], 4096)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "it is empty"),
        (b"\0\0\0", "it has only 3 bytes"),
        (WHOLE[:-3], "its last part lacks 3 bytes"),
        (box(b"ftyp") + box(b"mdat", b"x"), "no index"),
        (box(b"ftyp") + box(b"moov", b"x"), "no pictures"),
        (head(1000)[:60], "its last part lacks"),
    ],
)
def test_a_part_of_a_video_is_told_as_such(data: bytes, says: str) -> None:
    assert says in problem(data)


@pytest.mark.parametrize(
    "data", [b"<!DOCTYPE html><html>", b'{"code": 1004}', b"\x1f\x8b\x08\0\0\0\0\0\0\0", b"\0" * 64]
)
def test_something_else_is_no_video(data: bytes) -> None:
    with pytest.raises(NotAVideoError, match="it begins with"):
        problem(data)
