"""The emulator: one handler, whatever it is mounted on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from airflow_provider_kling.emulator import callbacks, control
from airflow_provider_kling.emulator.clock import Clock, ManualClock, SystemClock
from airflow_provider_kling.emulator.faults import FaultScript, strike
from airflow_provider_kling.emulator.messages import Refusal, Request, Response
from airflow_provider_kling.emulator.routes import find_route
from airflow_provider_kling.emulator.service import Service
from airflow_provider_kling.emulator.settings import Settings
from airflow_provider_kling.emulator.tasks import Task


def _no_wait(_seconds: float) -> None:
    """Let a delay pass at once."""


class Emulator:
    """Kling's video API on this machine: no key, no money.

    A test double: state lives in memory, ``/_emulator/…`` needs no key. Safe to use from many threads.

    :param settings: the service's side; may be changed later through ``emulator.settings``.
    :param clock: a :class:`ManualClock` for tests; default the machine's.
    """

    def __init__(self, settings: Settings | None = None, clock: Clock | None = None) -> None:
        self.settings = settings or Settings()
        self.clock: Clock = clock or SystemClock()
        self.faults = FaultScript()
        #: Every call back so far, delivered or not.
        self.callbacks: list[callbacks.Callback] = []
        #: Set by the server mount; ``None``: callbacks are only collected.
        self.deliver: Callable[[callbacks.Callback], None] | None = None
        self._lock = threading.RLock()
        #: (due, request): sent by clients that gave up before the service saw them.
        self._late: list[tuple[float, Request]] = []
        self._service = Service(self.settings, self.clock, self._call_back)
        if isinstance(self.clock, ManualClock):
            self.clock.on_move(self.tick)

    def reset(self, **settings: Any) -> None:
        """Forget tasks, counts, faults and callbacks; change settings if any are given."""
        with self._lock:
            self.settings.update(settings)
            self.faults.clear()
            self.callbacks.clear()
            self._late.clear()
            self._service = Service(self.settings, self.clock, self._call_back)

    def ledger(self) -> dict[str, Any]:
        """What was bought, refused and asked."""
        with self._lock:
            self.tick()
            return self._service.ledger.as_dict()

    def tasks(self) -> list[Task]:
        """All tasks, oldest first."""
        with self._lock:
            self.tick()
            return list(self._service.tasks)

    def add_task(
        self, prompt: str = "A fox", *, kind: str = "text2video", external_task_id: str = "", **body: Any
    ) -> Task:
        """Create a task that nobody asked for over HTTP, unchecked, as if made elsewhere."""
        with self._lock:
            self.tick()
            full = {"model_name": "kling-v2-6", "mode": "std", "duration": "5", "prompt": prompt, **body}
            task = self._service.accept(kind, full, external_task_id)
            self.tick()
            return task

    def expire(
        self, given_id: str | None = None, *, video_only: bool = False, forget_external_id: bool = False
    ) -> int:
        """Clear a task (by either id), or all, as the service does after 30 days.

        :param video_only: the task is still known; only its video is gone.
        :param forget_external_id: let the external id be used again.
        :return: how many were cleared.
        """
        with self._lock:
            tasks = self._service.tasks
            chosen = [task for task in tasks if given_id in (None, task.task_id, task.external_task_id)]
            for task in chosen:
                tasks.expire(task, video_only=video_only, forget_external_id=forget_external_id)
            return len(chosen)

    def tick(self) -> None:
        """Let everything happen that is due by now."""
        with self._lock:
            now = self.clock.time()
            for item in [item for item in self._late if item[0] <= now]:
                self._late.remove(item)
                self._serve(item[1])
            self._service.advance()

    def handle(self, request: Request, wait: Callable[[float], None] = _no_wait) -> Response:
        """Answer one request.

        :param wait: lets the seconds of a delay before handling pass. If it raises, the client has given up:
            the request is handled when its time comes, and the error goes through to the caller.
        """
        if request.path.startswith("/_emulator/") or request.path in ("/", "/favicon.ico"):
            return self._finish(request, control.handle(self, request))
        with self._lock:
            self.tick()
            route = find_route(request, self.settings.prefix)
            fault = self.faults.take(request, route.name)
            ledger = self._service.ledger
            if fault is not None:
                ledger.faults[fault.kind] += 1
            if fault is None or fault.kind != "connect":
                ledger.requests[route.label] += 1
                if route.name == "create":
                    ledger.note_create(request.body)
        if fault is None:
            return self._finish(request, self._serve(request))
        if fault.kind == "delay" and not fault.handled:
            self._let_pass(request, fault.seconds, wait)
            return self._finish(request, self._serve(request))
        return self._finish(request, strike(fault, request, self._serve, self._worded))

    def _let_pass(self, request: Request, seconds: float, wait: Callable[[float], None]) -> None:
        due = self.clock.time() + seconds
        try:
            wait(seconds)
        except BaseException:
            with self._lock:
                self._late.append((due, request))
            raise

    def _serve(self, request: Request) -> Response:
        with self._lock:
            self._service.advance()
            response = self._service.answer(request, find_route(request, self.settings.prefix))
            self._service.advance()
            return response

    def _worded(self, said: Refusal) -> Response:
        with self._lock:
            return self._service.worded(said)

    def _finish(self, request: Request, response: Response) -> Response:
        claimed = response.wire.claimed_length
        response.headers["Content-Length"] = str(len(response.body) if claimed is None else claimed)
        response.headers["Date"] = formatdate(self._service.time, usegmt=True)
        response.headers["Server"] = "kling-emulator"
        if request.method == "HEAD":
            response.body = b""
        return response

    def _call_back(self, callback: callbacks.Callback) -> None:
        if not callbacks.is_loopback(callback.url):
            callback.outcome = callbacks.NOT_LOOPBACK
        self.callbacks.append(callback)
        if self.deliver is not None and not callback.outcome:
            self.deliver(callback)
