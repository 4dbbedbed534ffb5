"""Calls back on every change of status: what they say, who gets them, how they are signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from airflow_provider_kling.emulator import DEMO_API_KEY
from airflow_provider_kling.emulator.callbacks import Callback, deliver, is_loopback
from tests.emulator.conftest import PATH

HOOK = "http://127.0.0.1:9/hook"


def test_every_change_of_status_is_called_back_once_in_order_and_flat(caller, emulator, clock):
    task_id = caller.made(callback_url=HOOK, external_task_id="af-1")
    for _ in range(10):
        clock.advance(1)
    seen = [item.payload for item in emulator.callbacks]
    assert [item["task_status"] for item in seen] == ["submitted", "processing", "succeed"]
    last = seen[-1]
    assert "code" not in last
    assert "data" not in last
    assert last["task_id"] == task_id
    assert last["task_info"] == {"external_task_id": "af-1"}
    assert last["final_unit_deduction"] == "1.5"
    assert set(last["task_result"]["videos"][0]) == {"id", "url", "duration"}
    assert last["task_result"]["videos"][0]["url"].startswith("http://kling.test/kling/videos/")


def test_a_failure_is_called_back_with_its_reason(caller, emulator, clock):
    caller.made("[policy-after]", callback_url=HOOK)
    clock.advance(5)
    assert emulator.callbacks[-1].payload["task_status_msg"] == "Failure to pass the risk control system"
    assert emulator.callbacks[-1].payload["task_result"] == {}


def test_progress_by_looks_is_called_back_too(caller, emulator):
    emulator.settings.update({"progress": "looks", "looks": 1})
    task_id = caller.made(callback_url=HOOK)
    caller.status(task_id)
    caller.status(task_id)
    assert [item.payload["task_status"] for item in emulator.callbacks] == ["submitted", "succeed"]


def test_a_signature_is_that_of_standard_webhooks(caller, emulator):
    key = b"twenty-four bytes or so."
    emulator.settings.webhook_secret = "whsec_" + base64.b64encode(key).decode()
    caller.made(callback_url=HOOK)
    callback = emulator.callbacks[0]
    signed = f"{callback.headers['webhook-id']}.{callback.headers['webhook-timestamp']}.".encode()
    digest = hmac.new(key, signed + callback.body, hashlib.sha256).digest()
    assert callback.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


@pytest.mark.parametrize(
    ("url", "is_own"),
    [
        ("http://127.0.0.1:8080/x", True),
        ("http://127.9.9.9/", True),
        ("http://localhost/", True),
        ("http://[::1]:80/", True),
        ("http://example.com/", False),
        ("http://localhost.example.com/", False),
        ("http://127.0.0.1.example.com/", False),
        ("http://10.0.0.1/", False),
        ("http://169.254.169.254/", False),
        ("http://[::1/", False),
        ("nonsense", False),
    ],
)
def test_only_this_machine_is_called_back(caller, emulator, url, is_own):
    assert is_loopback(url) is is_own
    emulator.add_task(callback_url=url)
    assert (emulator.callbacks[0].outcome == "refused: not a loopback address") is not is_own


def test_what_can_not_be_delivered_is_noted_and_harms_nobody():
    for url in ("http://127.0.0.1:1/", "http://localhost:99999/"):
        callback = Callback(url, {})
        deliver(callback)
        assert callback.outcome.startswith("failed: ")
    callback = Callback("http://192.0.2.1/", {})
    deliver(callback)
    assert callback.outcome == "refused: not a loopback address"


def test_a_served_emulator_delivers_without_anybody_asking(emulator_server):
    got: list[dict] = []
    done = threading.Event()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            if got[-1]["task_status"] == "succeed":
                done.set()

        def log_message(self, *_args) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        thread = threading.Thread(target=receiver.serve_forever, args=(0.01,))
        thread.start()
        hook = f"http://127.0.0.1:{receiver.server_port}/hook?a=b"
        body = {"model_name": "kling-v2-6", "prompt": "A fox [seconds=0.1]", "callback_url": hook}
        httpx.post(
            f"{emulator_server.url}{PATH}", json=body, headers={"Authorization": f"Bearer {DEMO_API_KEY}"}
        )
        assert done.wait(5)
        receiver.shutdown()
        thread.join()
    assert [item["task_status"] for item in got] == ["submitted", "processing", "succeed"]
