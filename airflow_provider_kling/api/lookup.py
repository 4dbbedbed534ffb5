"""Whether a task is there: what the host's own books say of an external id. Reads only.

Kling looks tasks up by external id and refuses an id it has. A relay may do neither, and say "not found" of
what it has just sold; so where a relay finds nothing, its list is read for what its "not found" is worth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_kling.api.catalog import RETENTION_DAYS, TaskKind
from airflow_provider_kling.api.flows import Flow, Sleep, get_task, list_tasks
from airflow_provider_kling.api.looking import read_page
from airflow_provider_kling.api.polling import backoff
from airflow_provider_kling.api.tasks import GenerationTask, TaskStatus
from airflow_provider_kling.exceptions import (
    KlingAPIError,
    KlingConcurrencyError,
    KlingDuplicateError,
    KlingError,
    KlingRejectedError,
    KlingResponseError,
    KlingServerError,
    KlingTaskNotFoundError,
    KlingUnknownOutcomeError,
)

#: Seconds between two look-ups after a create of unknown fate: a look-up may lag behind a create.
LOOK_AGAIN_AFTER = 5.0
#: How often to look for a task that the service says exists.
TAKEN_LOOKS = 6
#: How many failed tasks of an identity are stepped past when its last one is only to be named in a log.
GENERATIONS_SEARCHED = 5


class LookUpUnsupportedError(Exception):
    """The host has no look-up by external id."""


@dataclass(frozen=True)
class Books:
    """What a host can tell of one kind of task.

    :param kind: what the tasks make.
    :param keeps_ids: the host looks external ids up and refuses a second task with the same one: Kling's own
        do, a relay may.
    """

    kind: TaskKind
    keeps_ids: bool

    def find(self, name: str) -> Flow[GenerationTask | None]:
        """The task with this external id.

        :raises LookUpUnsupportedError: the host has no such look-up.
        :raises KlingAPIError: the look-up failed.
        """
        try:
            task = yield from get_task(name, self.kind)
        except KlingTaskNotFoundError:
            return None
        except (KlingRejectedError, KlingResponseError, KlingServerError) as e:
            if not self.keeps_ids and _is_missing_route(e):
                raise LookUpUnsupportedError from e
            raise
        return task

    def find_after_silence(self, name: str, why: str) -> Flow[GenerationTask | None]:
        """The task of a create whose fate is not known; ``None`` only if it is safe to send again.

        :param why: what happened to the create.
        :raises KlingUnknownOutcomeError: it stays unknown.
        """
        try:
            found = yield from self.find(name)
            if found is None:
                yield Sleep(LOOK_AGAIN_AFTER)
                found = yield from self.find(name)
        except LookUpUnsupportedError as e:
            raise unknown(
                name, f"{why}, and this host can't look tasks up by external id", hopeless=True
            ) from e
        except KlingAPIError as e:
            raise unknown(name, f"{why}, and the look-up failed: {e}") from e
        if found is None:
            yield from self.trust_not_found(name, why)
        return found

    def trust_not_found(self, name: str, why: str) -> Flow[None]:
        """Accept that a task which was not found is not there.

        :raises KlingUnknownOutcomeError: a relay, and nothing shows that it keeps external ids. An empty list
            is no proof: it may lag, or the create may still be on its way.
        """
        if self.keeps_ids:
            return
        try:
            tasks = yield from list_tasks(self.kind)
        except KlingAPIError as e:
            doubt = f"lists no tasks either ({e.http_status or 'no answer'})"
        else:
            if any(task.external_task_id for task in tasks):
                return
            doubt = "lists no task with an external id"
        raise unknown(
            name,
            f"{why}. The host does not find it, but it {doubt}: its 'not found' proves nothing. If this "
            "relay keeps external ids unique as Kling does, say so with external_task_ids=true in the "
            "connection's extra",
            hopeless=True,
        )

    def find_taken(self, name: str, refusal: KlingDuplicateError) -> Flow[GenerationTask]:
        """The task that holds an id; it exists, so a look-up that does not see it yet is late."""
        for look in range(1, TAKEN_LOOKS + 1):
            try:
                found = yield from self.find(name)
            except (LookUpUnsupportedError, KlingAPIError) as e:
                why = f"It exists ({refusal.service_message}), and the look-up failed: {e}"
                raise unknown(name, why) from e
            if found is not None:
                return found
            if look < TAKEN_LOOKS:
                yield Sleep(backoff(look))
        raise unknown(
            name,
            f"It exists ({refusal.service_message}), and no look-up finds it. If it was bought more than "
            f"{RETENTION_DAYS} days ago, Kling has cleared it: set another take to buy a new one",
        )

    def check_slots(self, slots: int) -> Flow[None]:
        """Spare the account a create that would be refused. Where the host lists no tasks, let it try.

        :param slots: how many tasks the account works on at once.
        :raises KlingConcurrencyError: they are all taken.
        """
        try:
            page = yield from read_page(self.kind, 1)
        except KlingAPIError:
            return
        if page.unfinished >= slots:
            raise KlingConcurrencyError(
                f"The account works on {page.unfinished} tasks, and the connection's max_concurrency is "
                f"{slots}. Nothing was sent, nothing was bought."
            )

    def newest(self, external_id: Callable[[int], str]) -> Flow[GenerationTask | None]:
        """The last task of an identity that did not fail. For a log: a look-up that fails finds none."""
        for generation in range(GENERATIONS_SEARCHED):
            try:
                task = yield from self.find(external_id(generation))
            except (LookUpUnsupportedError, KlingError):
                return None
            if task is None or task.status is not TaskStatus.FAILED:
                return task
        return None


def unknown(name: str, why: str, *, hopeless: bool = False) -> KlingUnknownOutcomeError:
    """The exception that stops everything: nothing more is sent, and the message says what to do."""
    advice = (
        "A retry can't find out either, so none is made: look into the host's console, and clear this task "
        "only if the video is not there."
        if hopeless
        else "A retry looks it up before anything is bought."
    )
    error = KlingUnknownOutcomeError(
        # What others said ends in a full stop already.
        f"It is not known whether the video with external id {name} was bought. {why.removesuffix('.')}. "
        f"Nothing was sent again. {advice}",
        external_task_id=name,
    )
    error.hopeless = hopeless
    return error


def _is_missing_route(error: KlingAPIError) -> bool:
    """Whether a host shows that it has no look-up: a page instead of an answer is one of those signs.

    Half a JSON or an empty body is not: that is an answer that got lost on its way.
    """
    if error.code is not None:
        return False
    page = error.http_status == 200 and error.service_message.lstrip().startswith("<")
    return page or error.http_status in (404, 405, 501)
