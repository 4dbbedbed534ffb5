"""Video hosts with habits: they redirect, change the file under way, or name no length."""

from __future__ import annotations

import contextlib
import gzip
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from airflow_provider_kling.api.auth import ApiKeyAuth
from airflow_provider_kling.api.client import ClientSettings, ssl_context
from airflow_provider_kling.landing.download import Download, Downloaded, DownloadError, _trust
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
def host(answers: Answers, tls: ssl.SSLContext | None = None) -> Iterator[tuple[str, list[str]]]:
    """Gives these answers one after the other; and the ``Range`` of each request."""
    ranges: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ranges.append(self.headers.get("Range", ""))
            answers.pop(0)(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}/v.mp4", ranges
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def fetch(
    url: str, path: Path, refreshed: str = "", *, verify: bool | str = True
) -> tuple[Downloaded, bytes]:
    settings = ClientSettings("http://127.0.0.1:9", ApiKeyAuth("not-for-video-hosts"), verify=verify)
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


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"ETag": '"a"'}, {"ETag": '"b"'}),
        ({"ETag": '"a"', "Last_Modified": "Wed, 21 Oct 2026 07:28:00 GMT"}, {"ETag": '"b"'}),
        (
            {"ETag": 'W/"a"', "Last_Modified": "Wed, 21 Oct 2026 07:28:00 GMT"},
            {"ETag": 'W/"a"', "Last_Modified": "Thu, 22 Oct 2026 07:28:00 GMT"},
        ),
    ],
)
def test_the_rest_of_another_file_is_not_spliced_on(
    tmp_path: Path, first: dict[str, str], then: dict[str, str]
) -> None:
    size, other = len(WHOLE), WHOLE[:-3] + b"ZZZ"
    answers = [
        answer(200, WHOLE, cut=20, **first),
        answer(206, other[20:], Content_Range=f"bytes 20-{size - 1}/{size}", **then),
        answer(200, other, **then),
    ]
    with host(answers) as (url, ranges):
        assert fetch(url, tmp_path)[1] == other
    assert ranges == ["", "bytes=20-", ""]


def test_the_rest_from_a_fresh_address_is_of_the_same_file_or_is_not_taken(tmp_path: Path) -> None:
    size, other = len(WHOLE), WHOLE[:-3] + b"ZZZ"
    answers = [
        answer(200, WHOLE, cut=20, ETag='"a"'),
        answer(403),
        answer(206, other[20:], Content_Range=f"bytes 20-{size - 1}/{size}", ETag='"b"'),
        answer(200, other, ETag='"b"'),
    ]
    with host(answers) as (url, ranges):
        assert fetch(url, tmp_path, refreshed=url + "?fresh")[1] == other
    assert ranges == ["", "bytes=20-", "bytes=20-", ""]


def test_a_host_that_compresses_unasked_is_told_as_such(tmp_path: Path) -> None:
    answers = [answer(200, gzip.compress(WHOLE), Content_Encoding="gzip") for _ in range(2)]
    with host(answers) as (url, _), pytest.raises(DownloadError, match="Content-Encoding: gzip"):
        fetch(url, tmp_path)


def test_bytes_as_they_are_may_be_called_so(tmp_path: Path) -> None:
    with host([answer(200, WHOLE, Content_Encoding="identity")]) as (url, _):
        assert fetch(url, tmp_path)[1] == WHOLE


@pytest.mark.parametrize(("status", "expired"), [(404, True), (501, False)])
def test_only_an_address_that_is_refused_counts_as_expired(
    tmp_path: Path, status: int, expired: bool
) -> None:
    answers = [answer(403), answer(status)]
    with host(answers) as (url, _), pytest.raises(DownloadError, match=f"HTTP {status}") as error:
        fetch(url, tmp_path)
    assert error.value.expired is expired


def test_a_ca_of_ones_own_is_trusted_besides_the_usual_ones(tmp_path: Path) -> None:
    bundle = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(bundle)
    with host([answer(200, WHOLE)], context) as (url, _):
        assert fetch(url, tmp_path, verify=str(bundle))[1] == WHOLE
    usual = ssl_context(True).get_ca_certs()
    assert usual
    assert len(_trust(str(bundle)).get_ca_certs()) == len(usual) + 1
    # The API is still called with that one alone.
    assert len(ssl_context(str(bundle)).get_ca_certs()) == 1


def test_certificates_are_not_looked_at_where_the_connection_says_so(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path))
    with host([answer(200, WHOLE)], context) as (url, _):
        assert fetch(url, tmp_path, verify=False)[1] == WHOLE


def certificate(folder: Path) -> Path:
    """Of a CA of one's own, which is its own host too: key and certificate in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "ca.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + made.public_bytes(Encoding.PEM)
    )
    return path


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
