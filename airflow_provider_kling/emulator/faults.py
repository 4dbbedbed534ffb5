"""Trouble on request: what goes wrong, with which request, how often, and what happened behind it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from airflow_provider_kling.emulator.messages import Refusal, Request, Response, Wire, refusal

#: Kinds that twist the true answer, so that the request is handled unless ``accepted`` says otherwise.
_TWISTS = frozenset({"cut", "delay", "truncated", "slow", "wrong_length", "no_range"})
#: Kinds that replace the answer, so that the request is *not* handled unless ``accepted`` says otherwise.
_REPLACES = frozenset(
    {"connect", "drop", "reset", "hang", "status", "kling", "garbage", "empty", "html", "expired"}
)
KINDS = _TWISTS | _REPLACES

#: Names a rule's ``path`` may use instead of a regular expression.
ROUTE_NAMES = frozenset({"create", "query", "list", "tasks", "video", "account", "any"})

#: Neither UTF-8 nor JSON.
GARBAGE = bytes(range(128, 256)) + b"\x00\xff" * 16

_REASONS = {
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}

#: What is cut or truncated when the request was not handled: the beginning of a success that never was.
_NEVER_WAS = (
    b'{"code": 0, "message": "SUCCEED", "request_id": "f9a1c6d2", "data": {"task_id": "000000000000000000", '
)


@dataclass(frozen=True)
class Fault:
    """One kind of trouble.

    :param kind: ``connect`` (no connection), ``drop`` (closed without an answer), ``reset`` (the same with a
        TCP reset), ``hang`` (never an answer), ``cut`` (closed in the middle of the body), ``delay``,
        ``status``, ``kling`` (the service's own error JSON), ``garbage``, ``empty``, ``truncated`` (half the
        JSON, length right), ``html``, and for videos ``slow``, ``wrong_length``, ``no_range``, ``expired``.
    :param accepted: whether the request is handled behind it. Default: true for what twists the true answer
        (``cut``, ``delay``, ``truncated``, ``slow``, ``wrong_length``, ``no_range``), false for the rest. A
        ``delay`` with ``accepted=False`` reaches the service late, and is handled then, also when the client
        has gone.
    :param status: HTTP status of ``status``, ``html``, ``garbage``, ``empty``, ``kling`` (default: by the
        code).
    :param body: body of ``status``.
    :param code: Kling's code, of ``kling``.
    :param message: Kling's message, of ``kling``.
    :param seconds: of ``delay``; of ``hang`` the longest wait on a real socket.
    :param at: bytes of the body that arrive, of ``cut`` (default: half).
    :param bytes_per_second: of ``slow``.
    :param length: false ``Content-Length``, of ``wrong_length`` (default: 1000 too many).
    :param retry_after: value of a ``Retry-After`` header to send along.
    :param headers: headers to send along.
    """

    kind: str
    accepted: bool | None = None
    status: int | None = None
    body: str | None = None
    code: int | None = None
    message: str | None = None
    seconds: float = 600.0
    at: int | None = None
    bytes_per_second: float = 10_000.0
    length: int | None = None
    retry_after: str | int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no such fault: {self.kind!r} (there are {', '.join(sorted(KINDS))})")
        if self.kind == "kling" and self.code is None:
            raise ValueError("a kling fault needs a code")
        if self.kind == "connect" and self.accepted:
            raise ValueError("a connection that was never made carries no request")

    @classmethod
    def of(cls, value: Fault | str | Mapping[str, Any]) -> Fault:
        """Take a fault as it is, by its kind alone, or as JSON has it."""
        if isinstance(value, Fault):
            return value
        given = {"kind": value} if isinstance(value, str) else dict(value)
        unknown = sorted(set(given) - {item.name for item in fields(cls)})
        if unknown or "kind" not in given:
            raise ValueError(f"a fault has a kind and no {', '.join(unknown) or 'less'}")
        return cls(**given)

    @property
    def handled(self) -> bool:
        """Whether the service does its work before the trouble starts."""
        return self.kind in _TWISTS if self.accepted is None else self.accepted


@dataclass
class Rule:
    """When a fault strikes. ``times=None`` for every time."""

    method: str
    path: str
    fault: Fault
    times: int | None = 1
    after: int = 0
    contains: str = ""

    def __post_init__(self) -> None:
        if self.path not in ROUTE_NAMES:
            try:
                re.compile(self.path)
            except re.error as error:
                raise ValueError(
                    f"path is neither a route's name nor a regular expression: {error}"
                ) from error

    def matches(self, request: Request, route: str) -> bool:
        """Whether it is about this request."""
        if self.method not in ("*", request.method):
            return False
        if self.path in ROUTE_NAMES:
            if self.path not in ("any", route):
                return False
        elif not re.search(self.path, request.path):
            return False
        return not self.contains or self.contains in request.body.decode(errors="replace") + request.path


class FaultScript:
    """The rules, in the order they were given; the first that matches strikes."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def add(
        self,
        method: str,
        path: str,
        fault: Fault | str | Mapping[str, Any],
        *,
        times: int | None = 1,
        after: int = 0,
        contains: str = "",
    ) -> None:
        """Plan one.

        :param method: HTTP method, or "*".
        :param path: "create", "query", "list", "tasks", "video", "account", "any", or a regular expression
            that is searched in the path.
        :param times: how many requests it strikes; ``None`` for all.
        :param after: how many matching requests are let through first.
        :param contains: only requests with this text in their path or body.
        """
        rule = Rule(method.upper(), path, Fault.of(fault), times, after, contains)
        with self._lock:
            self._rules.append(rule)

    def add_json(self, values: Sequence[Mapping[str, Any]]) -> None:
        """Plan several, all or (``ValueError``) none."""
        rules = []
        for value in values:
            unknown = sorted(set(value) - {item.name for item in fields(Rule)})
            if unknown or "fault" not in value:
                raise ValueError(f"a rule has a fault and no {', '.join(unknown) or 'less'}")
            given = {"method": "*", "path": "any", **value, "fault": Fault.of(value["fault"])}
            given["method"] = str(given["method"]).upper()
            rules.append(Rule(**given))
        with self._lock:
            self._rules.extend(rules)

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._rules.clear()

    def as_list(self) -> list[dict[str, Any]]:
        """What is still planned."""
        with self._lock:
            return [asdict(rule) for rule in self._rules]

    def take(self, request: Request, route: str) -> Fault | None:
        """Return the fault that strikes this request, and count it."""
        with self._lock:
            struck: Rule | None = None
            for rule in self._rules:
                if not rule.matches(request, route):
                    continue
                if rule.after > 0:
                    rule.after -= 1
                elif struck is None:
                    struck = rule
            if struck is None:
                return None
            if struck.times is not None:
                struck.times -= 1
                if struck.times <= 0:
                    self._rules.remove(struck)
            return struck.fault


def strike(
    fault: Fault,
    request: Request,
    serve: Callable[[Request], Response],
    refuse: Callable[[Refusal], Response],
) -> Response:
    """Answer a request under a fault. A ``delay`` before handling is the caller's business.

    :param serve: handles the request.
    :param refuse: words an error as the service would.
    """
    if fault.kind == "no_range":
        kept = {name: value for name, value in request.headers.items() if name not in ("range", "if-range")}
        request = replace(request, headers=kept)
    answer = serve(request) if fault.handled else _unhandled(fault)
    answer = _replaced(fault, refuse) if fault.kind in _REPLACES else _twisted(fault, answer)
    answer.headers.update(fault.headers)
    if fault.retry_after is not None:
        answer.headers["Retry-After"] = str(fault.retry_after)
    return answer


def _unhandled(fault: Fault) -> Response:
    if fault.kind in ("cut", "truncated"):
        return Response(200, _NEVER_WAS * 2, {"Content-Type": "application/json;charset=utf-8"})
    return Response(200)


def _replaced(fault: Fault, refuse: Callable[[Refusal], Response]) -> Response:
    answer = Response(fault.status or 200)
    match fault.kind:
        case "connect" | "reset" | "hang":
            answer.wire = Wire(drop=fault.kind, delay=fault.seconds)
        case "drop":
            answer.wire = Wire(drop="close")
        case "kling":
            said = refusal(fault.code or 0, fault.message)
            answer = refuse(Refusal(fault.status or said.status, said.code, said.message))
        case "garbage":
            answer.body = GARBAGE
            answer.headers["Content-Type"] = "application/json;charset=utf-8"
        case "html":
            answer = Response.of_html(answer.status, "Attention required")
        case "expired":
            body = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>\n'
            answer = Response(fault.status or 403, body, {"Content-Type": "application/xml"})
        case "status":
            answer = _of_status(fault.status or 500, fault.body)
    return answer


def _of_status(status: int, body: str | None) -> Response:
    if body is not None:
        return Response(status, body.encode(), {"Content-Type": "text/plain; charset=utf-8"})
    return Response.of_html(status, f"{status} {_REASONS.get(status, 'Error')}")


def _twisted(fault: Fault, answer: Response) -> Response:
    match fault.kind:
        case "cut":
            answer.wire.cut = len(answer.body) // 2 if fault.at is None else fault.at
        case "delay":
            answer.wire.delay = fault.seconds
        case "truncated":
            answer.body = answer.body[: len(answer.body) // 2]
        case "slow":
            answer.wire.bytes_per_second = fault.bytes_per_second
        case "wrong_length":
            answer.wire.claimed_length = len(answer.body) + 1000 if fault.length is None else fault.length
        case "no_range":
            answer.headers.pop("Accept-Ranges", None)
    return answer
