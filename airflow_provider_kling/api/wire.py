"""Bytes to tasks: Kling's envelope, and what relays make of it. Tolerant in, strict out.

Relays leave fields out, send ``null`` or ``{}``, count in seconds, rename keys, or wrap Kling's answer in
their own. What can't be understood is a :class:`KlingAPIError` that quotes the answer, never a ``KeyError``.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Any

from airflow_provider_kling.api import errors
from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.api.tasks import GenerationTask, TaskStatus, Video

log = logging.getLogger(__name__)

#: Kling's own words (both API generations) and those of the new-api family of relays.
_STATUS_WORDS: Mapping[str, TaskStatus] = {
    "submitted": TaskStatus.SUBMITTED,
    "not_start": TaskStatus.SUBMITTED,
    "queued": TaskStatus.SUBMITTED,
    "processing": TaskStatus.PROCESSING,
    "in_progress": TaskStatus.PROCESSING,
    "succeed": TaskStatus.SUCCEEDED,
    "succeeded": TaskStatus.SUCCEEDED,
    "success": TaskStatus.SUCCEEDED,
    "completed": TaskStatus.SUCCEEDED,
    "failed": TaskStatus.FAILED,
    "failure": TaskStatus.FAILED,
}
_seen_unknown_words: set[str] = set()

#: Digits before or after the point that an amount of units may have.
_DIGITS_MAX = 30
#: Timestamps below this are in seconds, above in milliseconds.
_SECONDS_BELOW = 1e11
#: Seconds since the epoch (2020): an earlier time is no time of a task. It must not make a video look as if
#: Kling had cleared it long ago, to be bought anew.
_NOT_BEFORE = 1_577_836_800


@dataclass(frozen=True)
class Answer:
    """An HTTP answer as the flows see it: status, text with secrets masked, lower-case headers."""

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)


def kling_code(answer: Answer) -> int | None:
    """Kling's own numeric code, or ``None`` if the answer is not Kling's JSON."""
    body = _json(answer.text)
    code = _code(body.get("code")) if isinstance(body, dict) else None
    return code if isinstance(code, int) else None


def decode(answer: Answer) -> tuple[dict[str, Any], Any]:
    """Read an envelope.

    :return: the whole body and its ``data`` (the body itself where it has none).
    :raises KlingAPIError: the answer is a refusal, or not readable.
    """
    body = _json(answer.text)
    if not isinstance(body, dict):
        if answer.status < 300:
            raise errors.unreadable(answer.status, answer.text)
        raise errors.refusal(
            status=answer.status, code=None, text=answer.text, retry_after=_retry_after(answer)
        )
    code = _code(body.get("code"))
    detail = body.get("error")
    if answer.status >= 300 or code not in (0, None) or detail:
        if isinstance(detail, dict):
            code = code if code not in (0, None) else _code(detail.get("code") or None)
            message = detail.get("message")
        else:
            message = body.get("message") or detail
        raise errors.refusal(
            status=answer.status,
            code=code if code != 0 else None,
            text=message if isinstance(message, str) and message else answer.text,
            request_id=_text(body.get("request_id")),
            retry_after=_retry_after(answer),
        )
    data = body.get("data")
    return body, body if data is None else data


def decode_task(answer: Answer, kind: TaskKind) -> GenerationTask:
    """Read the answer to a create or to a query of one task.

    :raises KlingAPIError: likewise; also where no task id can be found.
    """
    body, data = decode(answer)
    if not isinstance(data, dict):
        raise errors.unreadable(answer.status, answer.text)
    return _task(answer, kind, data, body)


@dataclass(frozen=True)
class Page:
    """A page of a list, its tasks not yet read: reading 500 at one go would hold an event loop up.

    :param items: the tasks as they were sent.
    :param read: reads one of them.
    """

    items: list[dict[str, Any]]
    read: Callable[[dict[str, Any]], GenerationTask]

    @property
    def tasks(self) -> list[GenerationTask]:
        """All of them, read at one go."""
        return [self.read(item) for item in self.items]

    @property
    def unfinished(self) -> int:
        """How many have not ended."""
        return sum(not has_ended(item) for item in self.items)


def decode_page(answer: Answer, kind: TaskKind) -> Page:
    """Read a page of a list call."""
    body, data = decode(answer)
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise errors.unreadable(answer.status, answer.text)
    envelope = {"request_id": body.get("request_id")}
    return Page(data, lambda item: _task(answer, kind, item, envelope))


def names_of(item: dict[str, Any]) -> tuple[str, str]:
    """Kling's id and the external id of a task that is not read yet."""
    given = item.get("task_info")
    info = given if isinstance(given, dict) else {}
    return _first((item,), "task_id", "id"), _first((info, item), "external_task_id", "external_id")


def has_ended(item: dict[str, Any]) -> bool:
    """Whether a task that is not read yet has ended."""
    return _status(_first((item,), "task_status", "status")) in (TaskStatus.SUCCEEDED, TaskStatus.FAILED)


def _task(answer: Answer, kind: TaskKind, data: dict[str, Any], body: dict[str, Any]) -> GenerationTask:
    inner = _original(data)
    layers = (inner, data, body)
    # The outer id first: it is the one by which this host can be asked again.
    task_id = _first((data, inner, body), "task_id", "id")
    if not task_id:
        raise errors.unreadable(answer.status, answer.text)
    status = _status(_first((data, inner, body), "task_status", "status"))
    message = _first(layers, "task_status_msg", "fail_reason")
    if not message and isinstance(data.get("outputs"), list):
        message = _text(data.get("message"))
    videos = _videos(inner) or _videos(data)
    if status is TaskStatus.SUCCEEDED and not videos and message.startswith("http"):
        # Old builds of the new-api family put the address of the result where the failure goes.
        videos, message = (Video(id="", url=message),), ""
    info = inner.get("task_info")
    external_id = _text(info.get("external_task_id")) if isinstance(info, dict) else ""
    return GenerationTask(
        task_id=task_id,
        kind=kind,
        status=status,
        status_message="" if status is not TaskStatus.FAILED else message,
        external_task_id=external_id or _first(layers, "external_task_id", "external_id"),
        videos=videos if status is TaskStatus.SUCCEEDED else (),
        units=_units(inner),
        created_at=moment(_first(layers, "created_at", "create_time", "submit_time")),
        updated_at=moment(_first(layers, "updated_at", "update_time", "finish_time")),
        request_id=_text(body.get("request_id")),
    )


def _original(data: dict[str, Any]) -> dict[str, Any]:
    """Kling's own object, where a relay wrapped it once or twice more."""
    for _ in range(2):
        nested = data.get("data")
        if not isinstance(nested, dict):
            break
        data = nested
    return data


def _first(layers: tuple[dict[str, Any], ...], *keys: str) -> str:
    for layer in layers:
        for key in keys:
            if text := _text(layer.get(key)):
                return text
    return ""


def _status(word: str) -> TaskStatus:
    if not word:
        return TaskStatus.SUBMITTED
    status = _STATUS_WORDS.get(word.lower())
    if status is None:
        if word not in _seen_unknown_words:
            _seen_unknown_words.add(word)
            log.warning("Unknown task status %r: taken as not finished.", word[:80])
        return TaskStatus.PROCESSING
    return status


def _videos(data: dict[str, Any]) -> tuple[Video, ...]:
    result = data.get("task_result")
    items = result.get("videos") if isinstance(result, dict) else None
    if items is None and isinstance(data.get("outputs"), list):
        items = [o for o in data["outputs"] if isinstance(o, dict) and o.get("type") == "video"]
    if not isinstance(items, list):
        return ()
    return tuple(
        Video(
            id=_text(item.get("id")),
            url=_text(item.get("url")),
            watermark_url=_text(item.get("watermark_url")),
            duration=_float(item.get("duration")),
        )
        for item in items
        if isinstance(item, dict) and _text(item.get("url"))
    )


def _units(data: dict[str, Any]) -> Decimal | None:
    given = data.get("final_unit_deduction")
    if given not in (None, ""):
        return decimal(given)
    billing = data.get("billing")
    if not isinstance(billing, list):
        return None
    amounts = [
        decimal(line.get("amount"))
        for line in billing
        if isinstance(line, dict) and line.get("charge_type") == "unit"
    ]
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known else None


def moment(text: str) -> datetime | None:
    """A time, in milliseconds or seconds since the epoch; ``None`` for anything else."""
    number = _float(text)
    if number is None:
        return None
    seconds = number if number < _SECONDS_BELOW else number / 1000
    if seconds < _NOT_BEFORE:
        return None
    try:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return None
    # What expires 30 days later must still have a date.
    return moment if moment.year < datetime.max.year else None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _code(value: Any) -> int | str | None:
    """``0``, ``"0"``, ``"success"`` -> 0; ``"1201"`` -> 1201; other words as they are."""
    if value is None or value == "" or isinstance(value, (bool, dict, list)):
        return None
    text = str(value).strip()
    if text.lower() in ("success", "succeed"):
        return 0
    return int(text) if len(text) < 10 and text.isascii() and text.isdigit() else text


def _text(value: Any) -> str:
    return "" if value is None or isinstance(value, (dict, list, bool)) else str(value)


def _float(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def decimal(value: Any) -> Decimal | None:
    """An amount, as number or text; ``None`` for anything else."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    # No price is that large; a sum of two that are would overflow.
    return number if number.is_finite() and abs(number.adjusted()) < _DIGITS_MAX else None


def _retry_after(answer: Answer) -> float | None:
    """Seconds, as they are or as a date (RFC 9110), which counts from the answer's own."""
    asked = answer.headers.get("retry-after")
    seconds = _float(asked)
    if seconds is None and asked:
        try:
            now = parsedate_to_datetime(answer.headers.get("date", ""))
            seconds = (parsedate_to_datetime(asked) - now).total_seconds()
        except (TypeError, ValueError):
            return None
    return seconds if seconds is not None and seconds >= 0 else None
