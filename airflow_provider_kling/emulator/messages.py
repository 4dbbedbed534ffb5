"""What goes in and out of the emulator, without a word about sockets or httpx."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote


@dataclass(frozen=True)
class Request:
    """One HTTP request, already read to its end.

    :param path: percent-decoded, without the query.
    :param headers: names in lower case.
    """

    method: str
    path: str
    query: Mapping[str, list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    scheme: str = "http"

    @classmethod
    def of(
        cls, method: str, target: str, headers: Mapping[str, str], body: bytes = b"", scheme: str = "http"
    ) -> Request:
        """Build one from the target of a request line, e.g. ``/kling/tasks?task_ids=1,2``."""
        path, _, query = target.partition("?")
        lowered = {name.lower(): value for name, value in headers.items()}
        return cls(method, unquote(path), parse_qs(query, keep_blank_values=True), lowered, body, scheme)

    @property
    def origin(self) -> str:
        """Scheme and host as the client sees this server."""
        return f"{self.scheme}://{self.headers.get('host', 'localhost')}"

    def first(self, name: str) -> str | None:
        """First value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else None


@dataclass
class Wire:
    """What the connection does to an answer; a mount turns it into socket or httpx behaviour.

    :param drop: "" for an answer; "connect": the connection was never made; "close": closed without an
        answer; "reset": the same with a TCP reset; "hang": nothing ever comes.
    :param cut: bytes of the body that arrive before the connection closes.
    :param delay: seconds until the answer starts.
    :param bytes_per_second: how fast the body comes; ``None`` for at once.
    :param claimed_length: a false ``Content-Length``.
    """

    drop: str = ""
    cut: int | None = None
    delay: float = 0.0
    bytes_per_second: float | None = None
    claimed_length: int | None = None


@dataclass
class Response:
    """One HTTP answer, and what happens to it on its way."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    wire: Wire = field(default_factory=Wire)

    @classmethod
    def of_json(cls, status: int, value: Any) -> Response:
        """Encode as the service does: UTF-8, not escaped."""
        # Half an emoji, which JSON can carry and UTF-8 can't, must not break the answer.
        body = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
        return cls(status, body, {"Content-Type": "application/json;charset=utf-8"})

    @classmethod
    def of_html(cls, status: int, title: str) -> Response:
        """Build a page as a proxy or a web server in front of an API answers it."""
        head = f"<head><title>{title}</title></head>"
        page = f"<html>\r\n{head}\r\n<body><center><h1>{title}</h1></center></body>\r\n</html>\r\n"
        return cls(status, page.encode(), {"Content-Type": "text/html"})


class Refusal(Exception):
    """The service says no: HTTP status, Kling code, message."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(f"{status}/{code}: {message}")
        self.status = status
        self.code = code
        self.message = message


#: HTTP status of each code, from the error table of the API reference.
STATUS_OF_CODE: Mapping[int, int] = {
    **dict.fromkeys((1000, 1001, 1002, 1003, 1004), 401),
    **dict.fromkeys((1100, 1101, 1102, 1302, 1303, 1304), 429),
    1103: 403,
    **dict.fromkeys((1200, 1201, 1300, 1301), 400),
    1202: 404,
    1203: 404,
    5000: 500,
    5001: 503,
    5002: 504,
}

#: Messages for codes that nothing else here words.
MESSAGE_OF_CODE: Mapping[int, str] = {
    1000: "Authentication failed",
    1001: "Authorization is empty",
    1002: "Authorization is invalid",
    1003: "Authorization is not yet valid",
    1004: "Authorization has expired",
    1100: "Account exception",
    1101: "Account in arrears",
    1102: "Account balance not enough",
    1103: "Unauthorized access to requested resource",
    1200: "Invalid request parameters",
    1201: "Invalid parameters",
    1202: "The requested method is invalid",
    1203: "The requested resource does not exist",
    1300: "Trigger strategy of the platform",
    1301: "Trigger the content security policy of the platform",
    1302: "The API request is too fast, exceeding the rate limit",
    1303: "parallel task over resource pack limit",
    1304: "Trigger the IP whitelist policy of the platform",
    5000: "Server internal error",
    5001: "Server temporarily unavailable, under maintenance",
    5002: "Server internal timeout, backlog",
}


def refusal(code: int, message: str | None = None) -> Refusal:
    """Build a refusal by its code alone; the status follows from it."""
    return Refusal(STATUS_OF_CODE.get(code, 400), code, message or MESSAGE_OF_CODE.get(code, "Unknown error"))
