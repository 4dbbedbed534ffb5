"""The side that hands out videos: Range requests, addresses that expire, and its own troubles."""

from __future__ import annotations

import httpx
import pytest

from airflow_provider_kling.emulator import clips


@pytest.fixture
def video(caller, emulator) -> str:
    """Path of a finished task's video, asked for without a key."""
    emulator.settings.progress = "immediate"
    task_id = caller.made(watermark_info={"enabled": True})
    del caller.http.headers["Authorization"]
    return f"/videos/{task_id}.mp4"


@pytest.fixture
def whole() -> bytes:
    return clips.render("A fox crossing a frozen lake", "16:9", 5)


def test_the_video_is_the_clip_of_its_prompt(caller, video, whole):
    answer = caller.http.get(video)
    assert answer.content == whole
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert int(answer.headers["Content-Length"]) == len(whole)
    again = caller.http.get(video, headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_watermarked_variant_is_another_clip_and_only_where_asked_for(caller, emulator, video, whole):
    marked = caller.http.get(video.replace(".mp4", "-watermark.mp4"))
    assert marked.status_code == 200
    assert marked.content != whole
    plain = emulator.add_task()
    assert caller.http.get(f"/videos/{plain.task_id}-watermark.mp4").status_code == 404


def test_head_says_the_length_and_sends_nothing(caller, video, whole):
    answer = caller.http.head(video)
    assert (answer.content, int(answer.headers["Content-Length"])) == (b"", len(whole))


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-", 0, None), ("bytes=10-19", 10, 20), ("bytes=-7", -7, None), ("bytes=5-99999999", 5, None)],
)
def test_a_range_is_answered_with_that_part(caller, video, whole, asked, start, end):
    answer = caller.http.get(video, headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.content == whole[start:end]
    first = start % len(whole)
    last = first + len(answer.content) - 1
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(whole)}"


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=20-10", "bytes=-0"])
def test_a_range_outside_is_416_and_says_the_size(caller, video, whole, asked):
    answer = caller.http.get(video, headers={"Range": asked})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(whole)}"


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "bytes=0-1,5-6"},
        {"Range": "lines=1-2"},
        {"Range": "bytes=-"},
        {"Range": "bytes=1-", "If-Range": '"old"'},
    ],
)
def test_a_range_it_does_not_take_is_answered_with_everything(caller, video, whole, headers):
    answer = caller.http.get(video, headers=headers)
    assert (answer.status_code, answer.content) == (200, whole)


def test_there_is_no_video_before_the_end_or_of_a_failed_task(caller, emulator):
    unfinished, failed = caller.made(), caller.made("[fail] x [seconds=0]")
    for task_id in (unfinished, failed, "404"):
        assert caller.http.get(f"/videos/{task_id}.mp4").status_code == 404


def test_an_address_can_expire_and_every_query_gives_a_fresh_one(caller, emulator, clock):
    emulator.settings.update({"progress": "immediate", "url_lifetime": 60})
    task_id = caller.made()

    def address() -> str:
        return caller.query(task_id).json()["data"]["task_result"]["videos"][0]["url"]

    old = address()
    assert caller.http.get(old).status_code == 200
    assert caller.http.get(old.partition("?")[0]).status_code == 403
    assert caller.http.get(old.replace("sign=", "sign=0")).status_code == 403
    clock.advance(60)
    assert caller.http.get(old).status_code == 403
    assert caller.http.get(address()).status_code == 200


def test_a_public_address_can_be_set(caller, emulator):
    emulator.settings.update({"progress": "immediate", "public_url": "https://cdn.test/"})
    url = caller.query(caller.made()).json()["data"]["task_result"]["videos"][0]["url"]
    assert url == "https://cdn.test/kling/videos/900000000000000001.mp4"


def test_a_download_can_break_in_the_middle_and_be_resumed(caller, emulator, video, whole):
    emulator.faults.add("GET", "video", {"kind": "cut", "at": 50_000})
    got = bytearray()

    def download() -> None:
        with caller.http.stream("GET", video) as answer:
            for chunk in answer.iter_bytes():
                got.extend(chunk)

    with pytest.raises(httpx.RemoteProtocolError):
        download()
    assert len(got) == 50_000
    got += caller.http.get(video, headers={"Range": f"bytes={len(got)}-"}).content
    assert got == whole


def test_a_download_can_be_answered_without_regard_to_its_range(caller, emulator, video, whole):
    emulator.faults.add("GET", "video", "no_range")
    answer = caller.http.get(video, headers={"Range": "bytes=10-"})
    assert (answer.status_code, answer.content) == (200, whole)
    assert "Accept-Ranges" not in answer.headers


def test_a_download_can_be_something_else_than_a_video(caller, emulator, video, whole):
    emulator.faults.add("GET", "video", "html")
    emulator.faults.add("GET", "video", "expired")
    emulator.faults.add("GET", "video", {"kind": "wrong_length", "length": 1000})
    emulator.faults.add("GET", "video", "wrong_length")
    emulator.faults.add("GET", "video", {"kind": "slow", "bytes_per_second": 100_000})
    page, denied, short = caller.http.get(video), caller.http.get(video), caller.http.get(video)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html")
    assert (denied.status_code, b"AccessDenied" in denied.content) == (403, True)
    assert short.content == whole[:1000]
    with pytest.raises(httpx.RemoteProtocolError):
        caller.http.get(video)
    assert caller.http.get(video).content == whole
