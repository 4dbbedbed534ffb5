"""The service's calls back: one POST per change of status, to loopback addresses only.

An emulator that posted wherever a request tells it to would be a way into the network it runs in.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import ipaddress
import json
import queue
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_kling.emulator.dialects import View, official_task

#: Longest wait for the receiver of a callback.
TIMEOUT_SECONDS = 2.0

#: Outcome of a callback that was not sent.
NOT_LOOPBACK = "refused: not a loopback address"


@dataclass
class Callback:
    """One call back.

    :param outcome: "" while nobody has delivered it; "refused: …", "failed: …", or the receiver's HTTP
        status.
    """

    url: str
    payload: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    outcome: str = ""

    @property
    def body(self) -> bytes:
        """The bytes that are sent, and signed."""
        return json.dumps(self.payload, ensure_ascii=False).encode("utf-8", "replace")


def payload(view: View) -> dict[str, Any]:
    """Return the flat body of the legacy protocol: no ``code``, no ``data``."""
    task = official_task(view)
    videos = [{name: video[name] for name in ("id", "url", "duration")} for video in view.videos]
    names = ("task_id", "task_status", "task_status_msg", "created_at", "updated_at", "task_info")
    body = {name: task[name] for name in names}
    if "final_unit_deduction" in task:
        body["final_unit_deduction"] = task["final_unit_deduction"]
    return {**body, "task_result": {"videos": videos} if videos else {}}


def sign(body: bytes, message_id: str, now: float, secret: str) -> dict[str, str]:
    """Return the three headers of Standard Webhooks."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    seconds = str(int(now))
    digest = hmac.new(key, f"{message_id}.{seconds}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": message_id, "webhook-timestamp": seconds, "webhook-signature": signature}


def is_loopback(url: str) -> bool:
    """Whether the address can only be this machine. Names other than ``localhost`` are not resolved."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def deliver(callback: Callback) -> None:
    """POST it once and note what came of it; the emulator has no use for errors."""
    if not is_loopback(callback.url):
        callback.outcome = NOT_LOOPBACK
        return
    parts = urlsplit(callback.url)
    secure = parts.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            headers = {"Content-Type": "application/json", **callback.headers}
            connection.request("POST", target, callback.body, headers)
            callback.outcome = str(connection.getresponse().status)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        callback.outcome = f"failed: {error}"


class CallbackSender:
    """A thread that delivers callbacks one after the other, in the order of the changes."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Callback | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="kling-emulator-callbacks", daemon=True)
        self._thread.start()

    def send(self, callback: Callback) -> None:
        """Queue one."""
        self._queue.put(callback)

    def stop(self) -> None:
        """Stop after what is queued, but don't wait long for it."""
        self._queue.put(None)
        self._thread.join(TIMEOUT_SECONDS + 1)

    def _run(self) -> None:
        while (callback := self._queue.get()) is not None:
            deliver(callback)
