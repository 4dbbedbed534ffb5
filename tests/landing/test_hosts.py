"""Video hosts with habits: they redirect, change the file under way, or name no length."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kling.api.auth import ApiKeyAuth
from airflow_provider_kling.api.client import ClientSettings
from airflow_provider_kling.landing.download import Download, Downloaded, DownloadError
from airflow_provider_kling.landing.writers import DiskWriter
from tests.landing.test_container import WHOLE, box

OTHER = box(b"ftyp", b"isom") + box(b"moov", b"other") + box(b"mdat", b"pictures of another length")
Answers = list[Callable[[BaseHTTPRequestHandler], None]]


def answer(status: int, body: bytes = b"", *, cut: int | None = None, **headers: str) -> Any:
    """One answer; ``cut`` bytes of its body arrive."""

    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            if value:
                handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body if cut is None else body[:cut])
        handler.close_connection = True

    return give


@contextlib.contextmanager
def host(answers: Answers) -> Iterator[tuple[str, list[str]]]:
    """Gives these answers one after the other; and the ``Range`` of each request."""
    ranges: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ranges.append(self.headers.get("Range", ""))
            answers.pop(0)(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v.mp4", ranges
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def fetch(url: str, path: Path, refreshed: str = "") -> tuple[Downloaded, bytes]:
    settings = ClientSettings("http://127.0.0.1:9", ApiKeyAuth("not-for-video-hosts"))
    writer = DiskWriter(str(path / "v.mp4"))
    try:
        got = Download(url, lambda: refreshed or url, settings, sleep=lambda seconds: None).into(writer)
        writer.commit()
    finally:
        writer.abort()
    return got, (path / "v.mp4").read_bytes()


def test_a_redirect_is_followed(tmp_path: Path) -> None:
    with host([answer(302, Location="/elsewhere.mp4"), answer(200, WHOLE)]) as (url, _):
        assert fetch(url, tmp_path)[1] == WHOLE


def test_a_file_that_changed_under_way_is_fetched_from_its_beginning(tmp_path: Path) -> None:
    answers = [answer(200, WHOLE, cut=20, ETag='"a"'), answer(200, OTHER, ETag='"b"')]
    with host(answers) as (url, ranges):
        assert fetch(url, tmp_path)[1] == OTHER
    assert ranges == ["", "bytes=20-"]


@pytest.mark.parametrize("content_range", ["bytes 0-9/999", "bytes 21-40/41", "nonsense", ""])
def test_another_part_than_was_asked_for_is_not_taken(tmp_path: Path, content_range: str) -> None:
    answers = [
        answer(200, WHOLE, cut=20, ETag='"a"'),
        answer(206, WHOLE[21:], Content_Range=content_range),
        answer(200, WHOLE),
    ]
    with host(answers) as (url, ranges):
        assert fetch(url, tmp_path)[1] == WHOLE
    assert ranges == ["", "bytes=20-", ""]


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}])
def test_without_a_mark_of_what_it_is_the_rest_is_not_asked_for(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    with host([answer(200, WHOLE, cut=20, **headers), answer(200, WHOLE)]) as (url, ranges):
        assert fetch(url, tmp_path)[1] == WHOLE
    assert ranges == ["", ""]


def test_the_time_of_the_last_change_is_such_a_mark(tmp_path: Path) -> None:
    changed = "Wed, 21 Oct 2026 07:28:00 GMT"
    size = len(WHOLE)
    answers = [
        answer(200, WHOLE, cut=20, Last_Modified=changed),
        answer(206, WHOLE[20:], Content_Range=f"bytes 20-{size - 1}/{size}"),
    ]
    with host(answers) as (url, ranges):
        assert fetch(url, tmp_path)[1] == WHOLE
    assert ranges == ["", "bytes=20-"]


def test_a_body_of_unknown_length_that_ends_early_is_noticed(tmp_path: Path) -> None:
    answers = [answer(200, WHOLE, cut=40, Content_Length=""), answer(200, WHOLE, Content_Length="")]
    with host(answers) as (url, _):
        assert fetch(url, tmp_path)[1] == WHOLE


@pytest.mark.parametrize(
    "location", ["ftp://127.0.0.1/v.mp4", "file:///etc/hostname", "http://[::1", "", "v.mp4"]
)
def test_an_address_that_is_not_of_the_web_is_not_used(tmp_path: Path, location: str) -> None:
    with pytest.raises(DownloadError):
        fetch(location, tmp_path, refreshed=location or "ftp://x")
    assert list(tmp_path.iterdir()) == []


def test_a_fresh_address_is_used_for_the_rest(tmp_path: Path) -> None:
    answers = [answer(403), answer(200, WHOLE)]
    with host(answers) as (url, _):
        assert fetch(url, tmp_path, refreshed=url + "?fresh")[1] == WHOLE
