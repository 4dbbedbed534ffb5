"""The clips: real MP4 files, right in shape and length, and told apart by their prompt."""

from __future__ import annotations

import shutil
import struct
import subprocess

import pytest

from airflow_provider_kling.emulator import clips, h264
from airflow_provider_kling.emulator.canvas import Canvas, colour

CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf"}
ALL_SHAPES = [("16:9", 5), ("9:16", 10), ("1:1", 15), ("16:9", 3)]


def boxes(data: bytes, path: str = "") -> dict[str, bytes]:
    """Read a file's boxes: path -> body."""
    found, at = {}, 0
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        assert 8 <= size <= len(data) - at, "a box ends inside its parent"
        body, full = data[at + 8 : at + size], f"{path}/{name.decode()}"
        found[full] = body
        if name in CONTAINERS:
            found.update(boxes(body, full))
        at += size
    return found


@pytest.mark.parametrize(("ratio", "seconds"), ALL_SHAPES)
def test_a_clip_has_the_shape_and_length_that_was_asked_for(ratio, seconds):
    data = clips.render("A fox", ratio, seconds)
    found = boxes(data)
    assert next(iter(found)) == "/ftyp"
    stbl = "/moov/trak/mdia/minf/stbl"
    scale, ticks = struct.unpack(">2I", found["/moov/trak/mdia/mdhd"][12:20])
    assert ticks / scale == pytest.approx(seconds, abs=0.1)
    movie_scale, movie_ticks = struct.unpack(">2I", found["/moov/mvhd"][12:20])
    assert movie_ticks / movie_scale == pytest.approx(seconds, abs=0.1)
    width, height = (value >> 16 for value in struct.unpack(">2I", found["/moov/trak/tkhd"][-8:]))
    across, down = map(int, ratio.split(":"))
    assert width * down == height * across
    _, count, delta = struct.unpack(">3I", found[f"{stbl}/stts"][4:16])
    assert count == seconds * clips.FRAMES_PER_SECOND + 1
    assert count * delta == ticks
    assert len(data) < 300_000


def test_the_index_comes_first_and_leads_to_the_frames():
    data = clips.render("A fox", "16:9", 5)
    found = boxes(data)
    names = [name for name in found if name.count("/") == 1]
    assert names == ["/ftyp", "/moov", "/mdat"], "plays while it is still loading"
    stbl = "/moov/trak/mdia/minf/stbl"
    (start,) = struct.unpack(">I", found[f"{stbl}/stco"][8:12])
    sizes = struct.unpack(f">{121}I", found[f"{stbl}/stsz"][12:])
    assert sum(sizes) == len(found["/mdat"])
    kinds = []
    for size in sizes:
        frame, at = data[start : start + size], 0
        while at < size:
            (length,) = struct.unpack(">I", frame[at : at + 4])
            kinds.append(frame[at + 4] & 31)
            payload = frame[at + 4 : at + 4 + length]
            assert not any(code in payload for code in (b"\0\0\0", b"\0\0\1", b"\0\0\2")), "no start codes"
            at += 4 + length
        assert at == size
        start += size
    assert start == len(data)
    assert kinds[0] == 5, "a key frame"
    assert set(kinds[1:]) == {1}
    assert b"avcC\x01\x42\xc0\x14" in data, "constrained baseline, level 2"


def test_the_same_prompt_gives_the_same_bytes_and_another_prompt_another_clip():
    one = clips.render("A fox", "16:9", 5)
    clips.render.cache_clear()
    assert clips.render("A fox", "16:9", 5) == one
    other = clips.render("A badger", "16:9", 5)
    key = slice(5000, 90_000)
    different = sum(a != b for a, b in zip(one[key], other[key], strict=True))
    assert different > 0.5 * 85_000, "most of the picture differs"
    assert clips.render("A fox", "16:9", 5, watermark=True) != one


@pytest.mark.parametrize(
    "prompt", ["", "x" * 2500, "一只狐狸走过冰湖", "🦊🧊", "\ud83d", "Tabs\tand\nlines", "~{|}"]
)
@pytest.mark.parametrize("ratio", ["16:9", "9:16", "1:1"])
def test_every_prompt_has_a_clip(prompt, ratio):
    assert len(clips.render(prompt, ratio, 3)) > 80_000


def test_numbers_are_coded_as_the_standards_table_has_them():
    assert [h264.ue(value) for value in range(5)] == ["1", "010", "011", "00100", "00101"]
    assert [h264.se(value) for value in (0, 1, -1, 2, -2)] == ["1", "010", "011", "00100", "00101"]


def test_drawing_outside_changes_nothing():
    canvas = Canvas(32, 32)
    canvas.bar(-10, -10, 0, 40, colour(0, 0, 1))
    canvas.bar(5, 40, 10, 50, colour(0, 0, 1))
    assert not any(canvas.luma)
    canvas.disc(0, 0, 100, colour(0, 0, 1))
    assert set(canvas.luma) == {235}


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg, an independent decoder, is not installed")
@pytest.mark.parametrize(("ratio", "seconds"), ALL_SHAPES)
def test_an_independent_decoder_reads_every_frame_without_complaint_and_sees_motion(tmp_path, ratio, seconds):
    file = tmp_path / "clip.mp4"
    file.write_bytes(clips.render("A fox crossing a frozen lake", ratio, seconds))
    command = ["ffmpeg", "-v", "error", "-xerror", "-i", str(file), "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    width, height = clips.SIZES[ratio]
    size = width * height
    frames = [done.stdout[at : at + size] for at in range(0, len(done.stdout), size)]
    assert len(frames) == seconds * clips.FRAMES_PER_SECOND + 1
    assert len(set(frames)) > 0.9 * len(frames), "nearly every frame differs from every other"
    caption = slice((height // 16 - 1) * 16 * width, (height // 16) * 16 * width)
    assert len({frame[caption] for frame in frames}) == 1, "the words stand still"
