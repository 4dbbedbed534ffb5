"""How answers are worded: Kling's own way, and what relays in front of it make of it.

Pure functions from a :class:`View` of a task to JSON. Which relay does what is written down from their pages
and sources (new-api: QuantumNous/new-api; xmsmartlink: docs.xmsmartlink.com; kkiai: docs.kkiai.com).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_kling.emulator.ledger import plain
from airflow_provider_kling.emulator.messages import Refusal
from airflow_provider_kling.emulator.tasks import FAILED, PROCESSING, SUBMITTED, SUCCEED, Task

NOT_FOUND = "Task not found by id/external id: "

#: What new-api says instead of 1302 and 1303.
NEW_API_BUSY = "当前分组上游负载已饱和，请稍后再试"  # noqa: RUF001 - its very words

_NEW_API_STATUS = {
    SUBMITTED: "SUBMITTED",
    PROCESSING: "IN_PROGRESS",
    SUCCEED: "SUCCESS",
    FAILED: "FAILURE",
}
_NEW_API_PROGRESS = {SUBMITTED: "10%", PROCESSING: "30%", SUCCEED: "100%", FAILED: "100%"}


@dataclass(frozen=True)
class View:
    """A task as a caller is shown it.

    :param videos: as ``task_result.videos`` has them; empty before success.
    :param offset: seconds by which the service's clock is ahead of the emulator's.
    """

    task: Task
    request_id: str
    videos: Sequence[dict[str, str]] = ()
    offset: float = 0.0

    @property
    def created_ms(self) -> int:
        """When it was created."""
        return round((self.task.created_at + self.offset) * 1000)

    @property
    def updated_ms(self) -> int:
        """When its status changed last."""
        return round((self.task.updated_at + self.offset) * 1000)


@dataclass(frozen=True)
class Dialect:
    """One way of wording, and what the relay that has it knows at all."""

    created: Callable[[View], dict[str, Any]]
    one: Callable[[View], dict[str, Any]]
    many: Callable[[Sequence[View], str], dict[str, Any]]
    error: Callable[[Refusal, str], tuple[int, dict[str, Any]]]
    #: Whether ``external_task_id`` reaches the service: echo, uniqueness, look-up.
    external_ids: bool = True
    tasks_route: bool = False
    list_route: bool = True


def official_task(view: View) -> dict[str, Any]:
    """Return a task as ``data`` of a query has it."""
    task = view.task
    data: dict[str, Any] = {
        "task_id": task.task_id,
        "task_status": task.status,
        "task_status_msg": task.message,
        "task_info": {"external_task_id": task.external_task_id} if task.external_task_id else {},
        "watermark_info": {"enabled": task.watermark},
        "task_result": {"videos": list(view.videos)} if view.videos else {},
        "created_at": view.created_ms,
        "updated_at": view.updated_ms,
    }
    if task.status == SUCCEED and task.units is not None:
        data["final_unit_deduction"] = plain(task.units)
    return data


def normalised(view: View) -> dict[str, Any]:
    """Return a task as ``GET /tasks`` (and the callbacks of the new generation) have it."""
    task = view.task
    data: dict[str, Any] = {
        "id": task.task_id,
        "status": "succeeded" if task.status == SUCCEED else task.status,
        "message": task.message,
        "create_time": view.created_ms,
        "update_time": view.updated_ms,
    }
    if task.external_task_id:
        data["external_id"] = task.external_task_id
    if view.videos:
        data["outputs"] = [{"type": "video", **video} for video in view.videos]
        data["billing"] = [{"charge_type": "unit", "amount": plain(task.units), "package_type": "video"}]
    return data


def envelope(data: Any, request_id: str) -> dict[str, Any]:
    """Put ``data`` into the service's envelope."""
    return {"code": 0, "message": "SUCCEED", "request_id": request_id, "data": data}


def _official_created(view: View) -> dict[str, Any]:
    data = official_task(view)
    kept = ("task_id", "task_info", "created_at", "updated_at")
    return envelope({"task_status": SUBMITTED, **{name: data[name] for name in kept}}, view.request_id)


def _official_one(view: View) -> dict[str, Any]:
    return envelope(official_task(view), view.request_id)


def _official_many(views: Sequence[View], request_id: str) -> dict[str, Any]:
    return envelope([official_task(view) for view in views], request_id)


def _official_error(said: Refusal, request_id: str) -> tuple[int, dict[str, Any]]:
    # No "data" key: seen on the live service with 1303.
    return said.status, {"code": said.code, "message": said.message, "request_id": request_id}


def _without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    kept = {name: value for name, value in body["data"].items() if name not in names}
    return {**body, "data": kept}


def _kkiai_created(view: View) -> dict[str, Any]:
    return _without(_official_created(view), "task_info")


def _kkiai_one(view: View) -> dict[str, Any]:
    return _without(_official_one(view), "task_info", "watermark_info", "final_unit_deduction")


def _kkiai_many(views: Sequence[View], request_id: str) -> dict[str, Any]:
    return envelope([_kkiai_one(view)["data"] for view in views], request_id)


def _xmsmartlink_task(view: View) -> dict[str, Any]:
    data = official_task(view)
    data["created_at"], data["updated_at"] = view.created_ms // 1000, view.updated_ms // 1000
    videos = [
        {**video, "id": "", "watermark_url": "", "url": video["url"].replace("https://", "http://")}
        for video in view.videos
    ]
    data["task_result"] = {"images": None, "videos": videos or None}
    return data


def _xmsmartlink_envelope(view: View, data: dict[str, Any]) -> dict[str, Any]:
    own = f"task_{view.task.task_id}"
    return {"task_id": own, **envelope(data, view.request_id), "message": ""}


def _xmsmartlink_created(view: View) -> dict[str, Any]:
    data = _xmsmartlink_task(view)
    return _xmsmartlink_envelope(view, {**data, "task_status": SUBMITTED, "task_result": {}})


def _xmsmartlink_one(view: View) -> dict[str, Any]:
    return _xmsmartlink_envelope(view, _xmsmartlink_task(view))


def _xmsmartlink_many(views: Sequence[View], request_id: str) -> dict[str, Any]:
    return envelope([_xmsmartlink_task(view) for view in views], request_id)


def _new_api_created(view: View) -> dict[str, Any]:
    return {
        "id": view.task.task_id,
        "task_id": view.task.task_id,
        "object": "video",
        "model": view.task.model_name,
        "status": "",
        "progress": 0,
        "created_at": view.created_ms // 1000,
    }


def _new_api_one(view: View) -> dict[str, Any]:
    task = view.task
    seconds = view.updated_ms // 1000
    data = {
        "task_id": task.task_id,
        "action": "textGenerate",
        "status": _NEW_API_STATUS[task.status],
        "fail_reason": task.message,
        "submit_time": view.created_ms // 1000,
        "start_time": 0 if task.status == SUBMITTED else view.created_ms // 1000,
        "finish_time": seconds if task.finished else 0,
        "progress": _NEW_API_PROGRESS[task.status],
        "data": _official_one(view),
    }
    return {"code": "success", "message": "", "data": data}


def _new_api_many(views: Sequence[View], _request_id: str) -> dict[str, Any]:
    return {"code": "success", "message": "", "data": [_new_api_one(view)["data"] for view in views]}


def _new_api_error(said: Refusal, _request_id: str) -> tuple[int, dict[str, Any]]:
    if said.status == 401:
        error = {"message": "Invalid token", "type": "new_api_error", "code": ""}
        return 401, {"error": error}
    if said.message.startswith(NOT_FOUND):
        return 400, {"code": "task_not_exist", "message": "task_not_exist", "data": None}
    if said.code in (1302, 1303):
        return 429, {"code": "task_failed", "message": NEW_API_BUSY, "data": None}
    # The numeric code is lost on the way.
    return (500 if said.status >= 500 else 400), {
        "code": "task_failed",
        "message": said.message,
        "data": None,
    }


_OFFICIAL = Dialect(_official_created, _official_one, _official_many, _official_error, tasks_route=True)

BY_NAME = {
    "official": _OFFICIAL,
    "relay_no_external_id": Dialect(
        _official_created, _official_one, _official_many, _official_error, external_ids=False
    ),
    "kkiai": Dialect(_kkiai_created, _kkiai_one, _kkiai_many, _official_error, external_ids=False),
    "xmsmartlink": Dialect(_xmsmartlink_created, _xmsmartlink_one, _xmsmartlink_many, _official_error),
    "new_api": Dialect(
        _new_api_created,
        _new_api_one,
        _new_api_many,
        _new_api_error,
        external_ids=False,
        list_route=False,
    ),
}
