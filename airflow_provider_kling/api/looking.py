"""Look at many tasks with few requests, by whatever the host offers. Sans-IO, like ``flows.py``.

Three ways, from the cheapest: the pages of the list (500 tasks a request), ``GET /tasks`` (20 ids a request,
API key only; it also answers for tasks of the legacy API), one request a task. What a host does not offer is
found out once. The order of the list is undocumented, so a task that is not on the pages that were read is
not lost: it is asked for by its id.
Source: Kling API reference, "Query Task (List)"; the limit of 20 ids was observed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from airflow_provider_kling.api import wire
from airflow_provider_kling.api.catalog import PAGE_SIZE_MAX, TaskKind
from airflow_provider_kling.api.flows import TRANSIENT, Flow, Send, Sleep, read
from airflow_provider_kling.api.tasks import GenerationTask
from airflow_provider_kling.api.wire import Page
from airflow_provider_kling.exceptions import (
    KlingAccountError,
    KlingAPIError,
    KlingAuthenticationError,
    KlingPermissionError,
)

#: Ids in one ``GET /tasks``.
IDS_MAX = 20
#: Tasks that are read before others have a turn on the event loop.
READ_AT_ONCE = 50
#: Pages that are read beyond those that would hold all the wanted tasks.
PAGES_BEYOND = 1
#: Looks for which the list is left alone after it held less than half of what was wanted.
LIST_REST = 10


@dataclass
class Offers:
    """What a host is believed to offer; learned from its answers.

    :param tasks_route: ``GET /tasks?task_ids=``; it takes no JWT.
    :param list_route: the pages of one kind.
    :param unfinished: tasks that had not ended on the last first page of the list; ``None``: not read.
    """

    tasks_route: bool = True
    list_route: bool = True
    unfinished: int | None = None
    list_rest: int = 0


#: Credentials that are refused say nothing about what the host offers.
_REVOKED = (KlingAuthenticationError, KlingAccountError, KlingPermissionError)

#: Told of each wanted task that was seen.
Seen = Callable[[GenerationTask], None]


def look(
    ids: Collection[str],
    kind: TaskKind,
    offers: Offers,
    seen: Seen,
    *,
    also: Collection[str] = (),
    count: bool = False,
) -> Flow[list[str]]:
    """Look at several tasks.

    :param ids: Kling's ids or external ids.
    :param seen: told of each task as it is seen.
    :param also: ids that are welcome where they cost nothing more.
    :param count: read the list in any case, for ``offers.unfinished``.
    :return: ids that have to be asked for one by one.
    :raises KlingAPIError: trouble on the way that waiting may cure; what was seen until then is told.
    """
    left = dict.fromkeys(ids)

    def note(task: GenerationTask) -> None:
        left.pop(task.task_id, None)
        left.pop(task.external_task_id, None)
        seen(task)

    offers.unfinished = None
    few = len(left) <= (IDS_MAX if offers.tasks_route else 1)
    resting = offers.list_rest > 0
    offers.list_rest -= resting
    if offers.list_route and (count or not (few or resting)):
        yield from _by_list(left, ids if not also else {*ids, *also}, kind, offers, note)
    if len(left) > 1 and offers.tasks_route:
        yield from _by_ids(list(left), kind, offers, note)
    return list(left)


def read_page(kind: TaskKind, number: int) -> Flow[Page]:
    """One page of the list."""
    send = Send("GET", kind.path, {"pageNum": number, "pageSize": PAGE_SIZE_MAX})
    return read(send, lambda answer: wire.decode_page(answer, kind), attempts=1)


def _by_list(
    left: Collection[str], welcome: Collection[str], kind: TaskKind, offers: Offers, note: Seen
) -> Flow[None]:
    wanted = len(left)
    for number in range(1, max(1, -(-wanted // PAGE_SIZE_MAX) + PAGES_BEYOND) + 1):
        try:
            page = yield from read_page(kind, number)
        except (*TRANSIENT, *_REVOKED):
            raise
        except KlingAPIError:
            offers.list_route = False
            return
        unfinished = yield from _read_all(page, welcome, note)
        if number == 1:
            offers.unfinished = unfinished
        if not left or len(page.items) < PAGE_SIZE_MAX:
            break
    if len(left) > wanted / 2:
        offers.list_rest = LIST_REST


def _by_ids(ids: Sequence[str], kind: TaskKind, offers: Offers, note: Seen) -> Flow[None]:
    for start in range(0, len(ids), IDS_MAX):
        send = Send("GET", "/tasks", {"task_ids": ",".join(ids[start : start + IDS_MAX])})
        try:
            page = yield from read(send, lambda answer: wire.decode_page(answer, kind), attempts=1)
        except TRANSIENT:
            raise
        except KlingAPIError:
            offers.tasks_route = False
            return
        yield from _read_all(page, ids, note)


def _read_all(page: Page, welcome: Collection[str], note: Seen) -> Flow[int]:
    """Read the tasks that are welcome, with pauses in which an event loop may serve others.

    :return: how many of the page have not ended.
    """
    unfinished = 0
    for number, item in enumerate(page.items):
        if number % READ_AT_ONCE == 0:
            yield Sleep(0)
        unfinished += not wire.has_ended(item)
        if any(name in welcome for name in wire.names_of(item)):
            note(page.read(item))
    return unfinished
