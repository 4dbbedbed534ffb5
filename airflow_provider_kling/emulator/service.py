"""The service behind the emulator's door: what each route does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from airflow_provider_kling.api.catalog import PAGE_SIZE_MAX, TaskKind
from airflow_provider_kling.emulator import callbacks, cdn, dialects
from airflow_provider_kling.emulator.account import Account
from airflow_provider_kling.emulator.auth import authenticate
from airflow_provider_kling.emulator.clock import Clock
from airflow_provider_kling.emulator.dialects import Dialect, View, envelope, normalised
from airflow_provider_kling.emulator.ledger import Ledger
from airflow_provider_kling.emulator.messages import Refusal, Request, Response, refusal
from airflow_provider_kling.emulator.routes import Route
from airflow_provider_kling.emulator.settings import Settings
from airflow_provider_kling.emulator.tasks import SUCCEED, Task, TaskStore
from airflow_provider_kling.emulator.validation import validate_shape, validate_text2video

#: The most ids one ``GET /tasks`` takes.
TASKS_MAX_IDS = 20
PAGE_NUMBER_MAX = 1000
DEFAULT_PAGE_SIZE = 30

#: Origin of video addresses for tasks that no request asked for.
_NOWHERE = "http://localhost"


class Service:
    """One account, its tasks and its routes. Not locked: its owner is.

    :param call_back: is given every call back, in the order of the changes.
    """

    def __init__(
        self, settings: Settings, clock: Clock, call_back: Callable[[callbacks.Callback], None]
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.tasks = TaskStore(settings)
        self.account = Account(settings, self.tasks)
        self.ledger = Ledger(self.tasks)
        self._send = call_back
        self._requests = 0
        #: Where a task was asked for: the origin of video addresses in its callbacks.
        self._origins: dict[str, str] = {}
        self._endpoints = {
            "create": self._create,
            "query": self._query,
            "list": self._list,
            "tasks": self._tasks_by_ids,
            "account": self._costs,
        }

    @property
    def time(self) -> float:
        """The service's own clock, which may be off from the caller's."""
        return self.clock.time() + self.settings.clock_offset

    def advance(self) -> None:
        """Let every task come as far as it is by now."""
        now = self.clock.time()
        while (task := self.tasks.next_change(now)) is not None:
            self._call_back(task)

    def answer(self, request: Request, route: Route) -> Response:
        """Handle a request; a refusal is an answer too."""
        try:
            return self._answer(request, route)
        except Refusal as said:
            refused = self.ledger.refused if route.name == "create" else self.ledger.refused_reads
            refused[str(said.code)] += 1
            return self.worded(said)

    def worded(self, said: Refusal) -> Response:
        """Word an error as the dialect has it."""
        status, body = self._dialect.error(said, self._request_id())
        return Response.of_json(status, body)

    def accept(self, kind: str, body: dict[str, Any], external_task_id: str, origin: str = _NOWHERE) -> Task:
        """Create a task; everything has been checked."""
        task = self.tasks.add(kind, body, self.clock.time(), external_task_id)
        self._origins[task.task_id] = origin
        self._call_back(task)
        return task

    def _answer(self, request: Request, route: Route) -> Response:
        now = self.clock.time()
        if route.name == "outside" or not self._exists(route.name):
            return Response.of_html(404, "404 Not Found")
        if route.name == "video":
            return self._video(request, route, now)
        self.account.check_address()
        authorization = request.headers.get("authorization")
        authenticate(authorization, self.settings, self.time, api_key_only=route.name == "tasks")
        self.account.check_rate(now)
        endpoint = self._endpoints.get(route.name)
        if endpoint is None:
            raise refusal(1202 if route.name == "wrong_method" else 1203)
        return endpoint(request, route, now)

    def _exists(self, route: str) -> bool:
        settings, dialect = self.settings, self._dialect
        if route == "tasks":
            return dialect.tasks_route if settings.tasks_route is None else settings.tasks_route
        if route == "list":
            return dialect.list_route if settings.list_route is None else settings.list_route
        return True

    def _create(self, request: Request, route: Route, _now: float) -> Response:
        self.account.check_state()
        try:
            body = json.loads(request.body)
        except (ValueError, RecursionError):
            raise refusal(1200, "Request body is not valid JSON") from None
        if not isinstance(body, dict):
            raise refusal(1200, "Request body must be a JSON object")
        if route.kind == TaskKind.TEXT2VIDEO.value:
            body = validate_text2video(body, self.settings.discontinued)
        else:
            body = validate_shape(body)
        external_task_id = body.get("external_task_id", "")
        if not self._dialect.external_ids:
            external_task_id = ""
        elif external_task_id and self.tasks.external_id_taken(external_task_id):
            raise refusal(1201, f"External_task_id {external_task_id} already exists")
        if "[policy-before]" in str(body.get("prompt", "")):
            raise refusal(1301, "The prompt contains sensitive content")
        self.account.check_slot(str(body.get("model_name", "")))
        task = self.accept(route.kind, body, external_task_id, request.origin)
        return Response.of_json(200, self._dialect.created(self._view(task, request.origin)))

    def _query(self, request: Request, route: Route, now: float) -> Response:
        external = self._dialect.external_ids
        if self.settings.lookup_route is not None:
            external = external and self.settings.lookup_route
        task = self.tasks.find(route.given_id, route.kind, now, external=external)
        if task is None:
            raise refusal(1201, dialects.NOT_FOUND + route.given_id)
        self._look(task, now)
        return Response.of_json(200, self._dialect.one(self._view(task, request.origin)))

    def _list(self, request: Request, route: Route, now: float) -> Response:
        number = _number(request, "pageNum", 1, PAGE_NUMBER_MAX)
        size = _number(request, "pageSize", DEFAULT_PAGE_SIZE, PAGE_SIZE_MAX)
        page = self.tasks.page(route.kind, number, size, now)
        for task in page:
            self._look(task, now)
        views = [self._view(task, request.origin) for task in page]
        return Response.of_json(200, self._dialect.many(views, self._request_id()))

    def _tasks_by_ids(self, request: Request, _route: Route, now: float) -> Response:
        own, external = request.first("task_ids"), request.first("external_task_ids")
        if bool(own) == bool(external):
            raise refusal(1201, "Exactly one of task_ids and external_task_ids is required")
        ids = [part.strip() for part in (own or external or "").split(",") if part.strip()]
        if len(ids) > TASKS_MAX_IDS:
            name = "task_ids" if own else "external_task_ids"
            raise refusal(1201, f"{name} cannot exceed {TASKS_MAX_IDS} in total")
        found = []
        for given in dict.fromkeys(ids):
            task = self.tasks.find(given, None, now, external=not own)
            if task is not None and (task.task_id if own else task.external_task_id) == given:
                self._look(task, now)
                found.append(normalised(self._view(task, request.origin)))
        return Response.of_json(200, envelope(found, self._request_id()))

    def _costs(self, request: Request, _route: Route, now: float) -> Response:
        for name in ("start_time", "end_time"):
            if not (request.first(name) or "").isdecimal():
                raise refusal(1201, f"{name} value '{request.first(name)}' is invalid")
        return Response.of_json(200, envelope(self.account.costs(now), self._request_id()))

    def _video(self, request: Request, route: Route, now: float) -> Response:
        task = self.tasks.find(route.given_id.removesuffix("-watermark"), None, now, external=False)
        done = task if task is not None and task.status == SUCCEED else None
        return cdn.serve(request, done, now, self.settings.url_lifetime)

    @property
    def _dialect(self) -> Dialect:
        return dialects.BY_NAME[self.settings.dialect]

    def _request_id(self) -> str:
        self._requests += 1
        return f"emulator-{self._requests:08x}"

    def _look(self, task: Task, now: float) -> None:
        if self.tasks.look(task, now):
            self._call_back(task)

    def _view(self, task: Task, origin: str) -> View:
        settings = self.settings
        videos = []
        if task.status == SUCCEED:
            base = (settings.public_url or origin).rstrip("/") + settings.prefix
            videos.append(cdn.video_entry(task, base, self.clock.time(), settings.url_lifetime))
        return View(task, self._request_id(), videos, settings.clock_offset)

    def _call_back(self, task: Task) -> None:
        url = task.body.get("callback_url")
        if not url or not isinstance(url, str):
            return
        view = self._view(task, self._origins.get(task.task_id, _NOWHERE))
        callback = callbacks.Callback(url, callbacks.payload(view))
        if self.settings.webhook_secret:
            message_id = f"msg_{view.request_id}"
            callback.headers = callbacks.sign(
                callback.body, message_id, self.time, self.settings.webhook_secret
            )
        self._send(callback)


def _number(request: Request, name: str, default: int, limit: int) -> int:
    given = request.first(name)
    if given is None:
        return default
    if not given.isdecimal() or not 1 <= int(given) <= limit:
        raise refusal(1201, f"{name} value '{given}' is invalid")
    return int(given)
