"""What to say to Kling, in which order, and what to make of silence. No I/O: one copy of every rule.

A flow is a generator. It yields what it wants done (:class:`Send`, :class:`Sleep`) and is sent the outcome
(an :class:`Answer`, a :class:`NoAnswer`, or ``None`` after a pause); it returns a value or raises a
``KlingError``. ``client.py`` drives flows, with threads or with asyncio.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from airflow_provider_kling.api import wire
from airflow_provider_kling.api.catalog import PAGE_SIZE_MAX, TaskKind
from airflow_provider_kling.api.polling import WaitPlan, asks_too_much, backoff
from airflow_provider_kling.api.tasks import GenerationTask, TaskStatus
from airflow_provider_kling.api.wire import Answer
from airflow_provider_kling.exceptions import (
    KlingAPIError,
    KlingConcurrencyError,
    KlingConnectionError,
    KlingError,
    KlingInputError,
    KlingRateLimitError,
    KlingServerError,
    KlingTaskNotFoundError,
    KlingTaskTimeoutError,
)

#: How often a read is sent before it counts as failed.
READ_ATTEMPTS = 4


@dataclass(frozen=True)
class Send:
    """A request to make: method, path below the base URL, query, JSON body."""

    method: str
    path: str
    params: Mapping[str, str | int] | None = None
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Sleep:
    """Seconds to pause."""

    seconds: float


@dataclass(frozen=True)
class NoAnswer:
    """No answer came.

    :param sent: whether the service may have seen the request; false only when that is certain.
    :param reason: what the network said.
    """

    sent: bool
    reason: str

    def error(self) -> KlingAPIError:
        """The exception for a read."""
        if not self.sent:
            return KlingConnectionError(
                f"Kling could not be reached: {self.reason}. This call bought nothing. Check the "
                "connection's host and this machine's network; a retry may succeed."
            )
        return KlingServerError(
            f"Kling did not answer: {self.reason}. This call bought nothing. A retry may succeed."
        )


T = TypeVar("T")
Outcome = Answer | NoAnswer | None
Flow = Generator[Send | Sleep, Outcome, T]

#: What waiting may cure, in a read.
TRANSIENT = (KlingConnectionError, KlingServerError, KlingRateLimitError, KlingConcurrencyError)


def read(send: Send, decode: Callable[[Answer], T], attempts: int = READ_ATTEMPTS) -> Flow[T]:
    """Send a read until it is answered; reads buy nothing, so they may be repeated."""
    for attempt in range(1, attempts + 1):
        outcome = yield send
        try:
            if isinstance(outcome, Answer):
                return decode(outcome)
            raise _no_answer(outcome).error()
        except TRANSIENT as e:
            if attempt == attempts or asks_too_much(e.retry_after):
                raise
            yield Sleep(backoff(attempt, e.retry_after))
    raise ValueError("attempts must be at least 1")


def get_task(task_id: str, kind: TaskKind, attempts: int = READ_ATTEMPTS) -> Flow[GenerationTask]:
    """Look one task up.

    :param task_id: Kling's id or the external id; both go into the same place.
    :raises KlingInputError: the id is empty.
    :raises KlingTaskNotFoundError: the account has no such task.
    """
    if not task_id or not task_id.strip():
        raise KlingInputError("task_id: it must not be empty. Nothing was bought.")
    path = f"{kind.path}/{quote(task_id.strip(), safe='')}"
    return read(Send("GET", path), lambda answer: wire.decode_task(answer, kind), attempts)


def list_tasks(kind: TaskKind, page: int = 1, page_size: int = PAGE_SIZE_MAX) -> Flow[list[GenerationTask]]:
    """Fetch one page of the account's tasks. The order is undocumented.

    :param page: 1 to 1000.
    :param page_size: 1 to 500.
    """
    if not 1 <= page <= 1000 or not 1 <= page_size <= PAGE_SIZE_MAX:
        raise KlingInputError(f"page must be 1 to 1000 and page_size 1 to {PAGE_SIZE_MAX}.")
    send = Send("GET", kind.path, {"pageNum": page, "pageSize": page_size})
    return read(send, lambda answer: wire.decode_page(answer, kind).tasks)


def probe() -> Flow[None]:
    """Try the credentials for free: "no such task" is the answer of a service that accepts them."""
    try:
        yield from get_task("airflow-connection-test", TaskKind.TEXT2VIDEO, attempts=1)
    except KlingTaskNotFoundError:
        return


def wait(
    task_id: str,
    kind: TaskKind,
    plan: WaitPlan,
    *,
    clock: Callable[[], float],
    first_pause: float = 0.0,
    on_change: Callable[[GenerationTask], None] = lambda task: None,
    on_trouble: Callable[[KlingAPIError], None] = lambda error: None,
) -> Flow[GenerationTask]:
    """Look at a task until it has ended.

    :param first_pause: seconds before the first look.
    :param on_change: told of each new status.
    :param on_trouble: told of the first of several looks in a row that fail.
    :return: the task, succeeded or failed.
    :raises KlingTaskTimeoutError: the plan's deadline passed; the video is still being made.
    """
    last: TaskStatus | None = None
    trouble: KlingAPIError | None = None
    pause: float | None = first_pause
    while pause is not None:
        yield Sleep(pause)
        try:
            task = yield from get_task(task_id, kind, attempts=1)
        except KlingAPIError as e:
            if not plan.failed(e):
                raise
            if trouble is None:
                on_trouble(e)
            trouble = e
        else:
            plan.looked()
            trouble = None
            if task.status is not last:
                last = task.status
                on_change(task)
            if task.ended:
                return task
        pause = plan.next_pause(clock())
    raise timed_out(task_id, last, trouble)


def timed_out(
    task_id: str, last: TaskStatus | None, trouble: KlingError | None = None
) -> KlingTaskTimeoutError:
    """The exception of a wait that gave up."""
    why = f" The last look failed: {trouble}" if trouble else ""
    seen = f"it was last seen {last.value!r}" if last else "it was not seen"
    return KlingTaskTimeoutError(
        f"Task {task_id} did not end in time; {seen}. The video is still being made and will be billed. "
        f"A retry of this task picks it up, nothing is bought again; to wait longer, raise timeout.{why}",
        task_id=task_id,
    )


def _no_answer(outcome: Outcome) -> NoAnswer:
    return outcome if isinstance(outcome, NoAnswer) else NoAnswer(sent=True, reason="no outcome was given")
