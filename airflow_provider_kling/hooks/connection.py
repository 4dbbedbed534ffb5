"""What an Airflow connection of type ``kling`` says, read and checked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import Connection

from airflow_provider_kling.api import catalog
from airflow_provider_kling.api.auth import AccessKeyAuth, ApiKeyAuth, KlingAuth
from airflow_provider_kling.api.client import ClientSettings
from airflow_provider_kling.api.requests import HostLimits
from airflow_provider_kling.exceptions import KlingInputError

T = TypeVar("T", int, float)

#: Requests a second when many tasks have to be asked for one by one.
MAX_QPS = 10.0

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True)
class KlingConnection:
    """A connection of type ``kling``.

    :param client: where and how to call.
    :param limits: what the host takes.
    :param model_name: used where a request names none.
    :param keeps_ids: the host keeps external ids unique: Kling's own do, and relays that say so.
    :param max_concurrency: videos that the account may make at once, where its owner says so.
    :param max_qps: requests a second when tasks have to be asked for one by one.
    """

    client: ClientSettings
    limits: HostLimits
    model_name: str
    keeps_ids: bool = True
    max_concurrency: int | None = None
    max_qps: float = MAX_QPS

    @property
    def account(self) -> tuple[str, str]:
        """Connections with the same address and credentials share an account."""
        return self.client.base_url, self.client.auth.account

    @classmethod
    def read(cls, connection: Connection) -> KlingConnection:
        """Read and check it.

        :raises KlingInputError: no usable key, host or extra.
        """
        extra = _extra_of(connection)
        base_url = _base_url(connection)
        official = urlsplit(base_url).hostname in catalog.OFFICIAL_HOSTS
        return cls(
            client=ClientSettings(
                base_url=base_url,
                auth=_auth_of(connection),
                timeout=_number(extra, "timeout", float) or ClientSettings.timeout,
                proxy=extra.get("proxy") or None,
                verify=_verify(extra),
            ),
            limits=HostLimits(
                official=official,
                prompt_max_chars=_number(extra, "prompt_max_chars", int),
                negative_prompt_max_chars=_number(extra, "negative_prompt_max_chars", int),
            ),
            model_name=str(extra.get("model_name") or catalog.DEFAULT_MODEL),
            # Read at Kling's own hosts too: a value that makes no sense should not lie in wait for a relay.
            keeps_ids=_switch(extra, "external_task_ids") or official,
            max_concurrency=_number(extra, "max_concurrency", int),
            max_qps=_number(extra, "max_qps", float) or MAX_QPS,
        )


def _extra_of(connection: Connection) -> dict[str, Any]:
    if not connection.extra:
        return {}
    try:
        extra = connection.extra_dejson
    except (json.JSONDecodeError, TypeError) as e:
        raise KlingInputError(f"The connection's extra is not JSON ({e}). Nothing was bought.") from e
    return dict(extra)


def _auth_of(connection: Connection) -> KlingAuth:
    login, password = (connection.login or "").strip(), (connection.password or "").strip()
    if not password:
        raise KlingInputError(
            f"The connection {connection.conn_id!r} has no key. Nothing was bought. Put an API key into its "
            "password, or an AccessKey into its login and the SecretKey into its password."
        )
    return AccessKeyAuth(login, password) if login else ApiKeyAuth(password)


def _base_url(connection: Connection) -> str:
    """``host`` with its path; in an ``AIRFLOW_CONN_*`` URI the path arrives as ``schema``."""
    host = (connection.host or "").strip()
    if not host:
        return catalog.DEFAULT_BASE_URL
    path = (connection.schema or "").strip("/")
    if "://" not in host:
        scheme = path if path in ("http", "https") else ""
        name = re.split(r"[:/]", host)[0]
        host = f"{scheme or ('http' if name in _LOOPBACK else 'https')}://{host}"
    if path in ("http", "https"):
        path = ""
    parts = urlsplit(host)
    try:
        port = parts.port or connection.port
    except ValueError:
        port = None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise KlingInputError(
            f"The connection's host {connection.host!r} is not an address like "
            "https://api-singapore.klingai.com or https://relay.example/kling. Nothing was bought."
        )
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    prefix = "/".join(part for part in (parts.path.strip("/"), path) if part)
    return f"{parts.scheme}://{name}{f':{port}' if port else ''}{f'/{prefix}' if prefix else ''}"


def _number(extra: dict[str, Any], name: str, to: Callable[[Any], T]) -> T | None:
    value = extra.get(name)
    number: T | None
    if value is None or value == "":
        return None
    try:
        number = to(value)
    except (TypeError, ValueError):
        number = None
    if number is None or not number > 0:
        raise KlingInputError(
            f"The connection's extra {name!r} must be a number above 0, got {value!r}. Nothing was bought."
        )
    return number


def _switch(extra: dict[str, Any], name: str) -> bool:
    """``true`` or ``false``, as it is or as a word; false where it is not set."""
    value = extra.get(name)
    known = {"": False, "false": False, "true": True}
    word = "" if value is None else str(value).strip().lower()
    if word not in known:
        raise KlingInputError(
            f"The connection's extra {name!r} must be true or false, got {value!r}. Nothing was bought."
        )
    return known[word]


def _verify(extra: dict[str, Any]) -> bool | str:
    value = extra.get("verify")
    if value is None:
        return True
    if isinstance(value, str):
        return {"": True, "true": True, "false": False}.get(value.strip().lower(), value)
    return bool(value)
