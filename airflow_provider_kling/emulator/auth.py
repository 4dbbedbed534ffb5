"""Who is asking: static API key, or a JWT signed with an AccessKey's SecretKey.

Read with nothing but the standard library: the client signs with PyJWT, so that a mistake in the one is not
hidden by the same mistake in the other.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from typing import Any

from airflow_provider_kling.emulator.messages import refusal
from airflow_provider_kling.emulator.settings import Settings

#: What the new endpoints say to anything but a good API key, be it a JWT or garbage.
API_KEY_ONLY = (
    "Authentication error. The current API does not support AK/SK; please go to the console "
    "(https://kling.ai/dev/api-key) to create API key."
)


def authenticate(authorization: str | None, settings: Settings, now: float, *, api_key_only: bool) -> None:
    """Raise the refusal the service would answer; return if the caller is let in."""
    if not (authorization or "").strip():
        raise refusal(1001)
    scheme, _, token = (authorization or "").strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise refusal(1002)
    if settings.api_key is not None and hmac.compare_digest(token.encode(), settings.api_key.encode()):
        return
    if api_key_only:
        raise refusal(1002, API_KEY_ONLY)
    _check_jwt(token, settings, now)


def _check_jwt(token: str, settings: Settings, now: float) -> None:
    parts = token.split(".")
    if len(parts) != 3:
        # The words of the library behind the service, which counts one dot as two parts and none as zero.
        count = "0" if len(parts) == 1 else "2" if len(parts) == 2 else "> 3"
        raise refusal(1002, f"The token was expected to have 3 parts, but got {count}")
    header, claims = _decoded(parts[0]), _decoded(parts[1])
    if header.get("alg") != "HS256":
        raise refusal(1002, "The token's algorithm must be HS256")
    if settings.access_key is None or settings.secret_key is None or claims.get("iss") != settings.access_key:
        raise refusal(1000, "Authentication failed: access key not found")
    signed = f"{parts[0]}.{parts[1]}".encode()
    expected = hmac.new(settings.secret_key.encode(), signed, hashlib.sha256).digest()
    if not hmac.compare_digest(expected, _bytes(parts[2])):
        raise refusal(1000, "Authentication failed: signature verification failed")
    if _moment(claims, "nbf", default=now) > now:
        raise refusal(1003)
    if _moment(claims, "exp", default=None) <= now:
        raise refusal(1004)


def _bytes(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise refusal(1002, "The token can't be decoded") from None


def _decoded(part: str) -> dict[str, Any]:
    try:
        value = json.loads(_bytes(part))
    except ValueError:
        raise refusal(1002, "The token can't be decoded") from None
    if not isinstance(value, dict):
        raise refusal(1002, "The token can't be decoded")
    return value


def _moment(claims: dict[str, Any], name: str, default: float | None) -> float:
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refusal(1002, f"The token's {name} claim is missing or not a number")
    return float(value)
