"""How a call proves who it is from: an API key, or a token signed with AccessKey and SecretKey.

Source: Kling API reference, "Authentication"; RFC 7519.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import deque
from collections.abc import Callable, Generator

import httpx
import jwt

from airflow_provider_kling.api import wire
from airflow_provider_kling.exceptions import KlingInputError

#: Seconds a token is valid for, as in Kling's own example; no maximum is documented.
TOKEN_SECONDS = 1800
#: Seconds before its end at which a token is not used any more.
RENEW_BEFORE_END = 60
#: Seconds by which this machine's clock may be ahead of Kling's.
CLOCK_TOLERANCE = 30
#: Codes that a token signed anew may cure: not valid yet, expired. Nothing was done for them.
_TOKEN_CODES = frozenset({1003, 1004})

_MASK = "***"
_BEARER = re.compile(r"(?i)(bearer\s+)[\w.~+/=-]+")
#: Shorter strings are no keys of Kling's but of a test set-up, and occur in answers by chance: striking out
#: "sk" would leave nobody a "task_id".
_MASKED_FROM = 8


class KlingAuth(httpx.Auth):
    """Base: knows its secrets, so that they can be struck from whatever is quoted.

    :param secrets: the strings that must appear nowhere.
    :raises KlingInputError: a secret has characters that no HTTP header can carry.
    """

    def __init__(self, *secrets: str) -> None:
        for secret in secrets:
            if not secret or not re.fullmatch(r"[!-~]+", secret):
                raise KlingInputError(
                    "The connection's key is empty, or has blanks or characters that no header can carry. "
                    "Nothing was bought. Copy it anew into the connection's password (and login)."
                )
        self._secrets = secrets

    @property
    def account(self) -> str:
        """Tells accounts apart without naming one: the same credentials give the same text."""
        return hashlib.sha256("\0".join(self._secrets).encode()).hexdigest()

    def mask(self, text: str) -> str:
        """The text with every secret and every bearer token struck out."""
        for secret in self._secrets:
            if len(secret) >= _MASKED_FROM:
                text = text.replace(secret, _MASK)
        return _BEARER.sub(rf"\1{_MASK}", text)


class ApiKeyAuth(KlingAuth):
    """``Authorization: Bearer <key>``: Kling's API keys, and the keys of relays."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header."""
        request.headers["Authorization"] = f"Bearer {self._key}"
        yield request


class AccessKeyAuth(KlingAuth):
    """A JWT (HS256) signed with the SecretKey, kept until 60 s before its end.

    :param access_key: goes into ``iss``.
    :param secret_key: signs; never sent.
    :param clock: seconds since the epoch.
    """

    requires_response_body = True

    def __init__(self, access_key: str, secret_key: str, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(access_key, secret_key)
        self._access_key = access_key
        self._secret_key = secret_key
        self._clock = clock
        #: Made last; an answer may still quote an earlier one. A pattern for all JWTs would be simpler and
        #: would break video addresses that are signed with one.
        self._tokens: deque[str] = deque(maxlen=4)
        self._token_ends = 0.0

    def mask(self, text: str) -> str:
        """Strike out the tokens made of them too."""
        for token in tuple(self._tokens):
            text = text.replace(token, _MASK)
        return super().mask(text)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header; where the service refuses the token's times, sign once more.

        Sending again is safe for a create too: a refused token means that nothing was done.
        """
        request.headers["Authorization"] = f"Bearer {self._current_token()}"
        response = yield request
        if response.status_code == 401 and _code(response) in _TOKEN_CODES:
            self._token_ends = 0.0
            request.headers["Authorization"] = f"Bearer {self._current_token()}"
            yield request

    def _current_token(self) -> str:
        now = self._clock()
        if now >= self._token_ends - RENEW_BEFORE_END:
            ends = int(now) + TOKEN_SECONDS
            claims = {"iss": self._access_key, "exp": ends, "nbf": int(now) - CLOCK_TOLERANCE}
            self._tokens.append(jwt.encode(claims, self._secret_key, algorithm="HS256"))
            self._token_ends = ends
        return self._tokens[-1]


def _code(response: httpx.Response) -> int | None:
    return wire.kling_code(wire.Answer(response.status_code, response.content.decode("utf-8", "replace")))
