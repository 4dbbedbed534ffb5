"""What can be set about the emulated service, at its start or while it runs."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

#: The key of an emulator that was given none. It opens nothing but an emulator.
DEMO_API_KEY = "emulator-key"

PROGRESS = ("time", "immediate", "looks")
DIALECTS = ("official", "relay_no_external_id", "kkiai", "xmsmartlink", "new_api")

#: ``account_state`` -> the code it makes the service answer to a create.
ACCOUNT_STATES = {"": 0, "abnormal": 1100, "arrears": 1101, "exhausted": 1102, "forbidden": 1103, "ip": 1304}

_NUMBERS = (
    *("concurrency", "requests_per_second", "seconds_per_video", "looks", "visibility_lag"),
    *("clock_offset", "url_lifetime", "retention", "pack_units"),
)


@dataclass
class Settings:
    """The service's side of things. All fields may be changed while it runs.

    :param api_key: static bearer key; ``None`` for an account that only has AccessKey/SecretKey.
    :param access_key: with ``secret_key``: JWTs of this issuer are accepted too.
    :param secret_key: what those JWTs are signed with.
    :param prefix: path in front of every route, as relays have it; "" for none.
    :param concurrency: tasks at once, counted from ``submitted`` to the end; more is 1303.
    :param concurrency_scope: "account", or "model" for a limit of its own per model name.
    :param requests_per_second: more within one second is 1302; ``None`` for no limit.
    :param progress: "time": a task takes ``seconds_per_video``; "looks": the first ``looks`` looks at it find
        it unfinished; "immediate": the first look finds it finished.
    :param seconds_per_video: of which the first tenth is ``submitted``, the rest ``processing``.
    :param looks: see ``progress``.
    :param account_state: "", "abnormal", "arrears", "exhausted", "forbidden", "ip".
    :param discontinued: model names that are gone.
    :param dialect: how answers are worded, see ``dialects.py``.
    :param tasks_route: whether ``GET /tasks`` exists; ``None``: as the dialect has it.
    :param list_route: whether the list call exists; ``None``: as the dialect has it.
    :param lookup_route: whether a single task can be looked up by its *external* id; ``None``: as the dialect
        has it.
    :param visibility_lag: seconds in which look-ups by external id, and lists, don't see a new task yet.
    :param clock_offset: seconds by which the service's clock is ahead: tokens, ``Date`` and times in answers.
    :param url_lifetime: seconds after which a video's URL answers 403; every query gives a fresh one.
    :param retention: seconds after which a task is gone.
    :param public_url: origin in video URLs; default: what the request's ``Host`` says.
    :param pack_units: size of the resource pack in ``/account/costs``.
    :param webhook_secret: ``whsec_…``: callbacks are signed (Standard Webhooks).
    """

    api_key: str | None = DEMO_API_KEY
    access_key: str | None = None
    secret_key: str | None = None
    prefix: str = "/kling"
    concurrency: int = 5
    concurrency_scope: str = "account"
    requests_per_second: float | None = None
    progress: str = "time"
    seconds_per_video: float = 5.0
    looks: int = 2
    account_state: str = ""
    discontinued: frozenset[str] = frozenset({"kling-v1"})
    dialect: str = "official"
    tasks_route: bool | None = None
    list_route: bool | None = None
    lookup_route: bool | None = None
    visibility_lag: float = 0.0
    clock_offset: float = 0.0
    url_lifetime: float | None = None
    retention: float = 30 * 86400.0
    public_url: str | None = None
    pack_units: float = 1000.0
    webhook_secret: str | None = None

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raise ``ValueError`` for a value that means nothing."""
        self.prefix = "/" + self.prefix.strip("/") if self.prefix.strip("/") else ""
        self.discontinued = frozenset(self.discontinued)
        for name, allowed in (
            ("progress", PROGRESS),
            ("dialect", DIALECTS),
            ("account_state", tuple(ACCOUNT_STATES)),
            ("concurrency_scope", ("account", "model")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, not {getattr(self, name)!r}")
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise ValueError(f"{name} must be a number, not {value!r}")
        if self.webhook_secret is not None:
            base64.b64decode(self.webhook_secret.removeprefix("whsec_"), validate=True)
        if bool(self.access_key) != bool(self.secret_key):
            raise ValueError("access_key and secret_key belong together")

    def update(self, values: Mapping[str, Any]) -> None:
        """Change some; all or, with a ``ValueError``, none."""
        known = {item.name for item in fields(self)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"no such setting: {', '.join(unknown)}")
        before = dict(self.__dict__)
        try:
            self.__dict__.update(values)
            self.check()
        except (ValueError, TypeError, AttributeError) as error:
            self.__dict__.update(before)
            raise ValueError(str(error)) from error
