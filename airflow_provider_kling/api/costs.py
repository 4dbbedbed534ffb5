"""The account's resource packs: what was bought, what is left.

Source: Kling API reference, "Account usage": ``GET /account/costs``, free, at most once a second, up to 12
hours behind. Its envelope is doubled: ``data`` has a ``code`` of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from airflow_provider_kling.api import errors, wire
from airflow_provider_kling.api.flows import Flow, Outcome, Send, Sleep, read
from airflow_provider_kling.api.wire import Answer
from airflow_provider_kling.exceptions import KlingInputError

T = TypeVar("T")

#: Seconds between two calls of one process; the service allows one a second.
PAUSE = 1.05

_lock = threading.Lock()
_next_free = float("-inf")


@dataclass(frozen=True)
class ResourcePack:
    """A prepaid pack.

    :param name: e.g. ``Trial-Video-100Units-5Con-1Months``.
    :param id: Kling's.
    :param kind: ``decreasing_total`` or ``constant_period``.
    :param total: units bought; ``None`` where the service does not say.
    :param remaining: units left, up to 12 hours behind.
    :param status: ``toBeOnline``, ``online``, ``expired`` or ``runOut``.
    :param purchased_at: UTC, like the following.
    :param effective_at: from when it can be used.
    :param expires_at: until when.
    """

    name: str
    id: str
    kind: str
    total: Decimal | None
    remaining: Decimal | None
    status: str
    purchased_at: datetime | None
    effective_at: datetime | None
    expires_at: datetime | None


def account_costs(
    start: datetime, end: datetime, resource_pack_name: str | None = None, *, clock: Callable[[], float]
) -> Flow[list[ResourcePack]]:
    """Ask for the packs of a period.

    :param start: with its time zone.
    :param end: likewise, later.
    :param resource_pack_name: of one pack only.
    :param clock: monotonic seconds, to keep below the service's rate.
    """
    if start.tzinfo is None or end.tzinfo is None or start >= end:
        raise KlingInputError(f"start and end must have time zones, in this order; got {start} and {end}.")
    params: dict[str, str | int] = {
        "start_time": int(start.timestamp() * 1000),
        "end_time": int(end.timestamp() * 1000),
    }
    if resource_pack_name:
        params["resource_pack_name"] = resource_pack_name
    return (yield from _in_turn(read(Send("GET", "/account/costs", params), _decode), clock))


def _in_turn(flow: Flow[T], clock: Callable[[], float]) -> Flow[T]:
    """Let each call of a flow wait for its turn: a retry counts as much as a first try."""
    outcome: Outcome = None
    while True:
        try:
            step = flow.send(outcome)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # as in client.py
        if isinstance(step, Sleep):
            outcome = yield step
            continue
        if (pause := _reserve(clock())) > 0:
            yield Sleep(pause)
        try:
            outcome = yield step
        finally:
            # Counted from the answer: how long the call was on its way is not known.
            _answered(clock())


def _reserve(now: float) -> float:
    """Seconds until the next turn, which is taken."""
    global _next_free  # noqa: PLW0603 - the rate is the account's, whoever asks
    with _lock:
        turn = max(now, _next_free)
        _next_free = turn + PAUSE
    return turn - now


def _answered(now: float) -> None:
    global _next_free  # noqa: PLW0603 - likewise
    with _lock:
        _next_free = max(_next_free, now + PAUSE)


def _decode(answer: Answer) -> list[ResourcePack]:
    body, data = wire.decode(answer)
    if isinstance(data, dict) and "resource_pack_subscribe_infos" not in data:
        if data.get("code") not in (0, "0", None):
            raise errors.refusal(
                status=answer.status,
                code=data["code"] if isinstance(data["code"], int) else str(data["code"]),
                text=str(data.get("msg") or ""),
                request_id=str(body.get("request_id") or ""),
            )
        data = data.get("data", data)
    packs = data.get("resource_pack_subscribe_infos") if isinstance(data, dict) else None
    if not isinstance(packs, list) or not all(isinstance(pack, dict) for pack in packs):
        raise errors.unreadable(answer.status, answer.text)
    return [_pack(pack) for pack in packs]


def _pack(pack: Mapping[str, Any]) -> ResourcePack:
    return ResourcePack(
        name=str(pack.get("resource_pack_name") or ""),
        id=str(pack.get("resource_pack_id") or ""),
        kind=str(pack.get("resource_pack_type") or ""),
        total=wire.decimal(pack.get("total_quantity")),
        remaining=wire.decimal(pack.get("remaining_quantity")),
        status=str(pack.get("status") or ""),
        purchased_at=wire.moment(str(pack.get("purchase_time"))),
        effective_at=wire.moment(str(pack.get("effective_time"))),
        expires_at=wire.moment(str(pack.get("invalid_time"))),
    )
