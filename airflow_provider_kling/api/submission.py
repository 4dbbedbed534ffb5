"""The one way to a create. Everything that decides whether money is spent stands in this file.

===================================================  ==========  ===========================================
what happened                                        bought?     what is done
===================================================  ==========  ===========================================
never reached the service                            no          again, after a pause
a refusal in Kling's words (1000-1304), or a 4xx     no          by code; 1302 again after a pause
5001, in Kling's own words                           no          again, after a pause
silence after sending; 5000, 5002; other 5xx; 408,   maybe       look up by external id: found, adopt; not
499; an answer nobody can read                                   found twice, again with the same id,
                                                                 if the host's books can be trusted
"external_task_id … already exists"                  yes, by us  look up, adopt
the look-up itself fails                             unknown     stop and say so; never sent again
===================================================  ==========  ===========================================

Sending again is safe only because the service refuses a second task with the same external id.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_kling.api import wire
from airflow_provider_kling.api.catalog import RETENTION_DAYS, TaskKind
from airflow_provider_kling.api.flows import Flow, NoAnswer, Outcome, Send, Sleep
from airflow_provider_kling.api.lookup import Books, LookUpUnsupportedError, unknown
from airflow_provider_kling.api.polling import asks_too_much, backoff
from airflow_provider_kling.api.tasks import GenerationTask, TaskStatus
from airflow_provider_kling.api.wire import Answer
from airflow_provider_kling.exceptions import (
    KlingAPIError,
    KlingConnectionError,
    KlingDuplicateError,
    KlingInputError,
    KlingRateLimitError,
    KlingServerError,
    KlingUnknownOutcomeError,
)

log = logging.getLogger(__name__)

#: How often a create is sent while it is certain that nothing was bought.
CREATE_ATTEMPTS = 5
#: How often a create is sent when each time its fate was unknown and no task was found.
UNKNOWN_ATTEMPTS = 3
#: Kling's codes of a request that was turned away. Others may appear, and mean anything.
_REFUSALS = range(1000, 1305)
#: Refusals of a create that waiting may cure.
_AGAIN = (KlingConnectionError, KlingServerError, KlingRateLimitError)


@dataclass(frozen=True)
class Submission:
    """The task that stands for a request.

    :param task: as the service last described it.
    :param bought: this call created it; otherwise it was there and was adopted.
    :param generation: how many tasks before it failed at Kling, or were cleared by it.
    """

    task: GenerationTask
    bought: bool
    generation: int = 0


def submit(
    body: Mapping[str, Any],
    books: Books,
    external_id: Callable[[int], str],
    *,
    look_up_first: bool,
    now: float,
    generation: int = 0,
    announced: bool = False,
    slots: int | None = None,
    before_create: Callable[[], object] = lambda: None,
) -> Flow[Submission]:
    """Create a task unless there is one; never a second one that is not failed.

    :param body: the request, without ``external_task_id``.
    :param books: of the host.
    :param external_id: the id of the n-th generation; it may raise to forbid further ones.
    :param look_up_first: an earlier attempt may have created it.
    :param now: seconds since the epoch; a video that Kling has cleared by then does not count.
    :param generation: where to start; earlier ones are known to have failed.
    :param announced: an earlier attempt is known to have been about to create it.
    :param slots: how many tasks the account works on at once, where its owner says so.
    :param before_create: called when nothing was found and one is to be bought; raises to forbid that.
    :raises KlingUnknownOutcomeError: see the table above.
    :raises KlingAPIError: refused; nothing was bought.
    """
    tried: set[str] = set()
    while True:
        name = external_id(generation)
        if name in tried:
            raise KlingInputError(
                f"external_task_id {name!r} belongs to a task that failed at Kling, and there is no further "
                "one to take. Nothing was bought."
            )
        tried.add(name)
        if look_up_first:
            found = yield from _find_earlier(name, books, announced)
            if found is not None and not is_spent(found, now):
                return Submission(found, bought=False, generation=generation)
            if found is not None:
                generation += 1
                continue
        before_create()
        if slots is not None:
            yield from books.check_slots(slots)
        submission = yield from _create(dict(body, external_task_id=name), books, name, generation)
        if submission.bought or not is_spent(submission.task, now):
            return submission
        # An earlier one that is of no use: step past it, looking before each step.
        generation += 1
        look_up_first = True


def _find_earlier(name: str, books: Books, announced: bool) -> Flow[GenerationTask | None]:
    """What an earlier attempt created; ``None`` if it may be bought."""
    why = "An earlier try was about to buy it"
    try:
        found = yield from books.find(name)
        if found is None:
            yield from books.trust_not_found(name, why)
    except (LookUpUnsupportedError, KlingUnknownOutcomeError) as e:
        if announced:
            raise unknown(name, f"{why}, and this host can't tell", hopeless=True) from e
        log.warning(
            "This host can't tell whether an earlier try bought this video, and it is bought now. "
            "Set retries=0 if that must not happen. (%s)",
            e or "no look-up by external id",
        )
        return None
    except KlingAPIError as e:
        if e.hopeless:
            raise
        raise unknown(name, f"An earlier try may have submitted it, and the look-up failed: {e}") from e
    return found


def is_spent(task: GenerationTask, now: float) -> bool:
    """Whether a task of ours is of no use any more, so that another one may be bought; says why."""
    if task.status is TaskStatus.FAILED:
        log.info(
            "Task %s (external id %s) failed at Kling and was not charged.",
            task.task_id,
            task.external_task_id,
        )
        return True
    if task.ended and task.expires_at is not None and task.expires_at.timestamp() < now:
        log.warning(
            "Kling cleared the video of task %s (external id %s) on %s, %s days after it was made: "
            "it is bought anew.",
            task.task_id,
            task.external_task_id,
            task.expires_at.date(),
            RETENTION_DAYS,
        )
        return True
    return False


def _create(body: Mapping[str, Any], books: Books, name: str, generation: int) -> Flow[Submission]:
    lost = 0
    for attempt in range(1, CREATE_ATTEMPTS + 1):
        outcome = yield Send("POST", books.kind.path, body=body)
        try:
            task = _accepted(outcome, books.kind)
        except KlingDuplicateError as e:
            # After a create of unknown fate, the task that holds the id is the one we sent.
            task = yield from books.find_taken(name, e)
            return Submission(task, bought=lost > 0, generation=generation)
        except _UnknownFateError as e:
            log.warning("Whether Kling accepted external id %s is not known (%s). Looking it up.", name, e)
            found = yield from books.find_after_silence(name, str(e))
            if found is not None:
                return Submission(found, bought=True, generation=generation)
            lost += 1
            if lost == UNKNOWN_ATTEMPTS:
                raise unknown(name, f"{lost} times in a row: {e}, and no task was found") from e
            if attempt < CREATE_ATTEMPTS:
                log.warning("No task has external id %s: sending the create again with the same id.", name)
        except KlingAPIError as e:
            again = isinstance(e, _AGAIN) and not asks_too_much(e.retry_after)
            if again and attempt < CREATE_ATTEMPTS:
                log.warning("%s Sending again.", e)
                yield Sleep(backoff(attempt, e.retry_after))
                continue
            if not lost:
                raise
            # This one was refused, perhaps because the earlier one holds the slot or the last units.
            raise unknown(name, f"The answer to a create was lost, and the next one failed: {e}") from e
        else:
            if task.external_task_id != name:
                log.warning(
                    "The host did not confirm external id %s: it may not protect against a second purchase.",
                    name,
                )
            return Submission(task, bought=True, generation=generation)
    raise unknown(name, "gave up after too many attempts")


class _UnknownFateError(Exception):
    """A create was sent and it is not certain that it was refused."""


def _accepted(outcome: Outcome, kind: TaskKind) -> GenerationTask:
    """The new task; raises ``KlingAPIError`` only when it is certain that nothing was bought."""
    if isinstance(outcome, NoAnswer):
        if not outcome.sent:
            raise outcome.error()
        raise _UnknownFateError(outcome.reason)
    if not isinstance(outcome, Answer):
        raise _UnknownFateError("no outcome was given")
    try:
        return wire.decode_task(outcome, kind)
    except KlingAPIError as e:
        if _certainly_refused(outcome):
            raise
        raise _UnknownFateError(f"HTTP {outcome.status}: {' '.join(outcome.text[:200].split())!r}") from e


def _certainly_refused(answer: Answer) -> bool:
    code = wire.kling_code(answer)
    if code is not None and code != 0:
        return code in _REFUSALS or code == 5001
    # Without Kling's code the words may be a proxy's, spoken after Kling accepted; a 4xx is not.
    return 300 <= answer.status < 500 and answer.status not in (408, 499)
