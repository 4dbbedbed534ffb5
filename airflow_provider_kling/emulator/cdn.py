"""The side that hands out finished videos: no key, Range requests, addresses that may expire."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from airflow_provider_kling.emulator import clips
from airflow_provider_kling.emulator.messages import Request, Response

if TYPE_CHECKING:
    from airflow_provider_kling.emulator.tasks import Task

_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")

#: Frames come at 24 per second, and there is one more than that makes, as the service has it (5.041 s).
DURATION_TAIL = 1 / 24


def signature(task_id: str, expires: str) -> str:
    """Sign an address until ``expires``. Anybody could forge it: it only has to look and age like one."""
    return hashlib.sha256(f"{task_id}:{expires}".encode()).hexdigest()[:16]


def video_entry(task: Task, base_url: str, now: float, lifetime: float | None) -> dict[str, str]:
    """Return one item of ``task_result.videos``."""
    query = ""
    if lifetime is not None:
        expires = str(round((now + lifetime) * 1000))
        query = f"?expires={expires}&sign={signature(task.task_id, expires)}"
    url = f"{base_url}/videos/{task.task_id}"
    return {
        "id": hashlib.sha256(task.task_id.encode()).hexdigest()[:24],
        "url": f"{url}.mp4{query}",
        "watermark_url": f"{url}-watermark.mp4{query}" if task.watermark else "",
        "duration": f"{int((task.seconds + DURATION_TAIL) * 1000) / 1000:.3f}",
    }


def serve(request: Request, task: Task | None, now: float, lifetime: float | None) -> Response:
    """Answer a request for a video; ``task`` is ``None`` if there is none or it is not finished."""
    if task is None or task.video_gone:
        return _xml(404, "NoSuchKey")
    if lifetime is not None:
        expires = request.first("expires") or ""
        signed = expires.isdecimal() and request.first("sign") == signature(task.task_id, expires)
        if not signed or now * 1000 >= float(expires):
            return _xml(403, "AccessDenied")
    watermark = request.path.endswith("-watermark.mp4")
    if watermark and not task.watermark:
        return _xml(404, "NoSuchKey")
    ratio = str(task.body.get("aspect_ratio", "16:9"))
    body = clips.render(task.prompt, ratio, task.seconds, watermark=watermark)
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"Content-Type": "video/mp4", "Accept-Ranges": "bytes", "ETag": etag}
    if request.headers.get("if-none-match") == etag:
        return Response(304, b"", headers)
    wanted = _RANGE.match(request.headers.get("range", "").strip())
    if wanted is None or wanted.groups() == ("", "") or request.headers.get("if-range", etag) != etag:
        return Response(200, body, headers)
    return _part(body, wanted[1], wanted[2], headers)


def _part(body: bytes, first: str, last: str, headers: dict[str, str]) -> Response:
    size = len(body)
    if first:
        start, end = int(first), min(int(last) if last else size - 1, size - 1)
    else:
        start, end = max(0, size - int(last)), size - 1
    if start > end or start >= size:
        return Response(416, b"", {**headers, "Content-Range": f"bytes */{size}"})
    return Response(206, body[start : end + 1], {**headers, "Content-Range": f"bytes {start}-{end}/{size}"})


def _xml(status: int, code: str) -> Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>\n'
    return Response(status, body.encode(), {"Content-Type": "application/xml"})
