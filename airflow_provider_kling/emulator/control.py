"""The emulator's own routes, ``/_emulator/…``: for tests and demos, without a key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_provider_kling.emulator.messages import Request, Response

if TYPE_CHECKING:
    from airflow_provider_kling.emulator.app import Emulator

_ABOUT = {
    "what": "An emulator of the Kling text-to-video API (airflow-provider-kling). Nothing here costs money.",
    "routes": {
        "GET /_emulator/health": "is it up",
        "GET /_emulator/ledger": "what was bought, what was refused, how often anybody asked",
        "GET /_emulator/faults": "what is still planned to go wrong",
        "POST /_emulator/faults": '[{"method": "POST", "path": "create", "fault": {"kind": "drop"}}]',
        "DELETE /_emulator/faults": "forget them",
        "POST /_emulator/reset": "forget everything; a JSON object changes settings",
        "POST /_emulator/settings": "change settings and forget nothing",
        "POST /_emulator/expire": '{"task_id": …} or {"external_task_id": …} or {"all": true}; '
        '"video_only", "forget_external_id"',
        "GET /_emulator/callbacks": "every call back so far",
    },
}


def handle(emulator: Emulator, request: Request) -> Response:
    """Answer a request to one of them."""
    action = request.path.removeprefix("/_emulator").strip("/")
    if action == "favicon.ico":
        return Response(404)
    try:
        return _do(emulator, request.method, action, request)
    except (ValueError, TypeError, AttributeError) as error:
        return Response.of_json(400, {"error": str(error)})


def _do(emulator: Emulator, method: str, action: str, request: Request) -> Response:
    value: Any = {"ok": True}
    match ("GET" if method == "HEAD" else method, action):
        case ("GET", ""):
            value = {**_ABOUT, "base_url": request.origin + emulator.settings.prefix}
        case ("GET", "health"):
            value = {"status": "ok"}
        case ("GET", "ledger"):
            value = emulator.ledger()
        case ("GET", "callbacks"):
            value = [
                {"url": item.url, "payload": item.payload, "outcome": item.outcome}
                for item in list(emulator.callbacks)
            ]
        case ("GET", "faults"):
            value = emulator.faults.as_list()
        case ("POST", "faults"):
            rules = _body(request, list)
            emulator.faults.add_json(rules)
            value = {"added": len(rules)}
        case ("DELETE", "faults"):
            emulator.faults.clear()
        case ("POST", "reset"):
            emulator.reset(**_body(request, dict))
        case ("POST", "settings"):
            emulator.settings.update(_body(request, dict))
        case ("POST", "expire"):
            value = _expire(emulator, _body(request, dict))
        case _:
            return Response.of_json(404, {"error": f"no {method} {request.path} here", "see": "/"})
    return Response.of_json(200, value)


def _expire(emulator: Emulator, body: dict[str, Any]) -> dict[str, int]:
    given = body.get("task_id") or body.get("external_task_id")
    if not given and body.get("all") is not True:
        raise ValueError('one of "task_id", "external_task_id" and "all": true is needed')
    count = emulator.expire(
        given,
        video_only=bool(body.get("video_only")),
        forget_external_id=bool(body.get("forget_external_id")),
    )
    return {"expired": count}


def _body(request: Request, kind: type[Any]) -> Any:
    value = json.loads(request.body or ("[]" if kind is list else "{}"))
    if not isinstance(value, kind):
        kind_name = "array" if kind is list else "object"
        raise ValueError(f"a JSON {kind_name} is needed")  # noqa: TRY004 - answered as a 400
    return value
