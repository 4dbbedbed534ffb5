"""The emulator on a real socket: speed, real connection faults, a clean end."""

from __future__ import annotations

import socket
import threading
import time
from urllib.parse import urlsplit

import httpx
import pytest

from airflow_provider_kling.emulator import DEMO_API_KEY, Emulator
from airflow_provider_kling.emulator.server import EmulatorServer, running
from tests.emulator.conftest import PATH

BODY = {"model_name": "kling-v2-6", "prompt": "A fox"}


@pytest.fixture
def http(emulator_server):
    headers = {"Authorization": f"Bearer {DEMO_API_KEY}"}
    with httpx.Client(base_url=emulator_server.url, headers=headers, timeout=5) as client:
        yield client


def test_a_task_is_made_found_and_its_video_fetched_over_one_connection(http, emulator_server):
    task_id = http.post(PATH, json=BODY).json()["data"]["task_id"]
    data = http.get(f"{PATH}/{task_id}").json()["data"]
    url = data["task_result"]["videos"][0]["url"]
    assert url == f"{emulator_server.url}/videos/{task_id}.mp4"
    video = http.get(url)
    assert video.headers["Content-Type"] == "video/mp4"
    assert video.content[4:8] == b"ftyp"
    assert http.head(url).headers["Content-Length"] == str(len(video.content))
    assert "Date" in video.headers


def test_hundreds_of_quick_requests_take_a_moment(http):
    start = time.perf_counter()
    for _ in range(300):
        http.get(f"{PATH}/nope")
    assert time.perf_counter() - start < 300 / 150


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("connect", httpx.ReadError),
        ("drop", httpx.RemoteProtocolError),
        ("reset", httpx.ReadError),
        ("cut", httpx.RemoteProtocolError),
    ],
)
def test_a_connection_really_breaks_and_the_next_one_works(http, emulator_server, kind, error):
    emulator_server.emulator.faults.add("POST", "create", kind)
    with pytest.raises(error):
        http.post(PATH, json=BODY)
    assert http.post(PATH, json=BODY).status_code == 200
    assert emulator_server.emulator.ledger()["accepted"] == (2 if kind == "cut" else 1)


def test_a_false_answer_leaves_the_connection_usable(http, emulator_server):
    for kind in ("garbage", "empty", "html", "truncated"):
        emulator_server.emulator.faults.add("POST", "create", kind)
        assert http.post(PATH, json=BODY).status_code == 200
    assert http.post(PATH, json=BODY).json()["code"] == 0


@pytest.mark.parametrize(
    "fault", [{"kind": "delay", "seconds": 60}, {"kind": "hang"}, {"kind": "hang", "accepted": True}]
)
def test_an_answer_that_does_not_come_in_time_is_a_timeout_and_stopping_does_not_wait_for_it(fault):
    served = Emulator()
    served.faults.add("GET", "query", fault)
    with running(served) as url:
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{url}{PATH}/x", timeout=0.1)
        start = time.perf_counter()
    assert time.perf_counter() - start < 3


def test_a_late_request_is_handled_though_the_client_has_gone(http, emulator_server):
    fault = {"kind": "delay", "seconds": 0.2, "accepted": False}
    emulator_server.emulator.faults.add("POST", "create", fault)
    with pytest.raises(httpx.ReadTimeout):
        http.post(PATH, json=BODY, timeout=0.05)
    assert emulator_server.emulator.ledger()["accepted"] == 0
    deadline = time.monotonic() + 5
    while emulator_server.emulator.ledger()["accepted"] == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert emulator_server.emulator.ledger()["accepted"] == 1


def test_a_slow_body_comes_whole(http, emulator_server):
    served = emulator_server.emulator
    size = len(http.post(PATH, json=BODY).content)
    served.faults.add("POST", "create", {"kind": "slow", "bytes_per_second": size * 5})
    start = time.perf_counter()
    assert http.post(PATH, json=BODY).json()["code"] == 0
    assert time.perf_counter() - start > 0.15


@pytest.mark.parametrize(("length", "breaks"), [(5000, True), (10, False)])
def test_a_wrong_length_is_what_the_client_gets_to_read(http, emulator_server, length, breaks):
    emulator_server.emulator.faults.add("POST", "create", {"kind": "wrong_length", "length": length})
    if breaks:
        with pytest.raises(httpx.RemoteProtocolError):
            http.post(PATH, json=BODY)
    else:
        assert http.post(PATH, json=BODY).content == b'{"code": 0'
    assert http.post(PATH, json=BODY).json()["code"] == 0


def test_many_callers_at_once_get_a_task_each_and_no_id_twice(emulator_server):
    emulator_server.emulator.settings.concurrency = 1000
    ids: list[str] = []

    def work() -> None:
        headers = {"Authorization": f"Bearer {DEMO_API_KEY}"}
        with httpx.Client(base_url=emulator_server.url, headers=headers) as client:
            ids.extend(client.post(PATH, json=BODY).json()["data"]["task_id"] for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 80


def raw(url: str, request: bytes) -> bytes:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    "head",
    [b"Transfer-Encoding: chunked", b"Content-Length: 99999999", b"Content-Length: -1", b"Content-Length: x"],
)
def test_a_body_it_does_not_read_is_refused(emulator_server, head):
    answer = raw(emulator_server.url, b"POST /kling/v1/videos/text2video HTTP/1.1\r\n" + head + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in answer


def test_half_a_request_is_no_request(emulator_server):
    head = b"POST /kling/v1/videos/text2video HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"
    assert raw(emulator_server.url, head) == b""
    assert emulator_server.emulator.ledger()["requests_total"] == 0


def test_a_status_nobody_knows_is_sent_as_it_is(http, emulator_server):
    emulator_server.emulator.faults.add("GET", "list", {"kind": "status", "status": 599})
    assert http.get(PATH).status_code == 599


def test_the_url_is_one_to_connect_to(http):
    for host, prefix, shown in (("0.0.0.0", "/kling", "127.0.0.1"), ("127.0.0.1", "", "127.0.0.1")):
        served = Emulator()
        served.settings.update({"prefix": prefix})
        with running(served, host) as url:
            assert url == f"http://{shown}:{urlsplit(url).port}{prefix}"
            assert httpx.get(f"http://{shown}:{urlsplit(url).port}/_emulator/health").status_code == 200


def test_a_busy_port_is_an_error_and_a_stopped_server_frees_it():
    with running(Emulator()) as url:
        port = urlsplit(url).port
        with pytest.raises(OSError, match="in use"):
            EmulatorServer(Emulator(), port=port)
    with running(Emulator(), port=port) as again:
        assert urlsplit(again).port == port
