"""Who waits: this package, the HTTP provider, a trigger that only sleeps; each as Airflow is told of it."""

from __future__ import annotations

import base64
import json
import secrets
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.report import ROOT
from demo.local_emulator import LocalEmulator


def ours(task_id: str, interval: float, _end: float) -> tuple[str, dict[str, Any]]:
    """Class and arguments."""
    return "airflow_provider_kling.triggers.task.KlingTaskTrigger", {
        "kling_conn_id": "kling_default",
        "kling_task_id": task_id,
        "kind": "text2video",
        "external_task_id": "",
        "poll_interval": interval,
        "deadline": time.time() + 3600,
    }


def peer(task_id: str, interval: float, _end: float) -> tuple[str, dict[str, Any]]:
    """The one trigger of the HTTP provider that can look into an answer."""
    return "airflow.providers.http.triggers.http.HttpEventTrigger", {
        "http_conn_id": "kling_http",
        "method": "GET",
        "auth_type": None,
        "endpoint": f"v1/videos/text2video/{task_id}",
        "headers": None,
        "data": None,
        "extra_options": None,
        "response_check_path": "benchmarks.peers.ended",
        "poll_interval": interval,
    }


def idle(_task_id: str, _interval: float, end: float) -> tuple[str, dict[str, Any]]:
    """What Airflow itself takes, whoever waits: the bound."""
    return "benchmarks.idle.IdleTrigger", {"until": end}


SIDES = {"ours": ours, "peer": peer, "idle": idle}


def http_connection(emulator: LocalEmulator) -> str:
    """The connection for the HTTP provider; its extra is sent as headers."""
    headers = {"Authorization": f"Bearer {emulator.api_key}", "Content-Type": "application/json"}
    return json.dumps({"conn_type": "http", "host": emulator.base_url, "extra": headers})


def environment(home: Path, emulator: LocalEmulator) -> dict[str, str]:
    """Of a triggerer: nothing from the caller, the connections to its emulator."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "NO_PROXY": "*",
        "PYTHONPATH": str(ROOT),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW_CONN_KLING_DEFAULT": emulator.connection,
        "AIRFLOW_CONN_KLING_HTTP": http_connection(emulator),
    }
