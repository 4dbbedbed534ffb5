"""The one way to a create. Everything that decides whether money is spent stands in this file.

===================================================  ==========  ===========================================
what happened                                        bought?     what is done
===================================================  ==========  ===========================================
never reached the service                            no          again, after a pause
a refusal in Kling's words (1000-1304), or a 4xx     no          by code; 1302 again after a pause
5001, in Kling's own words                           no          again, after a pause
silence after sending; 5000, 5002; other 5xx; 408,   maybe       look up by external id: found, adopt; not
499; an answer nobody can read                                   found twice, again with the same id
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
from airflow_provider_kling.api.flows import Flow, NoAnswer, Outcome, Send, Sleep, get_task
from airflow_provider_kling.api.polling import backoff
from airflow_provider_kling.api.tasks import GenerationTask, TaskStatus
from airflow_provider_kling.api.wire import Answer
from airflow_provider_kling.exceptions import (
    KlingAPIError,
    KlingConnectionError,
    KlingDuplicateError,
    KlingError,
    KlingInputError,
    KlingRateLimitError,
    KlingRejectedError,
    KlingResponseError,
    KlingServerError,
    KlingTaskNotFoundError,
    KlingUnknownOutcomeError,
)

log = logging.getLogger(__name__)

#: How often a create is sent while it is certain that nothing was bought.
CREATE_ATTEMPTS = 5
#: How often a create is sent when each time its fate was unknown and no task was found.
UNKNOWN_ATTEMPTS = 3
#: Seconds between two look-ups after a create of unknown fate: a look-up may lag behind a create.
LOOK_AGAIN_AFTER = 5.0
#: Kling's codes of a request that was turned away. Others may appear, and mean anything.
_REFUSALS = range(1000, 1305)
#: Refusals of a create that waiting may cure.
_AGAIN = (KlingConnectionError, KlingServerError, KlingRateLimitError)
#: How often to look for a task that the service says exists.
TAKEN_LOOKS = 6
#: How many failed tasks of an identity are stepped past when its last one is only to be named in a log.
GENERATIONS_SEARCHED = 5


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


class _LookUpUnsupportedError(Exception):
    """The host has no look-up by external id."""


def submit(
    body: Mapping[str, Any],
    kind: TaskKind,
    external_id: Callable[[int], str],
    *,
    look_up_first: bool,
    generation: int = 0,
    official: bool = True,
    now: float = 0.0,
    blind: bool = True,
) -> Flow[Submission]:
    """Create a task unless there is one; never a second one that is not failed.

    :param body: the request, without ``external_task_id``.
    :param external_id: the id of the n-th generation; it may raise to forbid further ones.
    :param look_up_first: an earlier attempt may have created it.
    :param generation: where to start; earlier ones are known to have failed.
    :param official: a host of Kling's own, which has look-ups; a relay may not.
    :param now: seconds since the epoch; a video that Kling has cleared by then does not count.
    :param blind: where the host has no look-ups, buy although an earlier attempt may have bought.
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
            try:
                found = yield from _look_up(name, kind, official)
            except _LookUpUnsupportedError as e:
                if not blind:
                    why = (
                        "An earlier try was about to buy it, and this host can't look tasks up by external id"
                    )
                    raise _unknown(name, why, hopeless=True) from e
                log.warning(
                    "This host can't look tasks up by external id: whether an earlier try bought this video "
                    "can't be known, and it is bought now. Set retries=0 if that must not happen."
                )
                found = None
            except KlingAPIError as e:
                if e.hopeless:
                    raise
                raise _unknown(
                    name, f"An earlier try may have submitted it, and the look-up failed: {e}"
                ) from e
            if found is not None and not is_spent(found, now):
                return Submission(found, bought=False, generation=generation)
            if found is not None:
                generation += 1
                continue
        submission = yield from _create(dict(body, external_task_id=name), kind, name, generation, official)
        if submission.bought or not is_spent(submission.task, now):
            return submission
        # An earlier one that is of no use: step past it, looking before each step.
        generation += 1
        look_up_first = True


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


def _create(
    body: Mapping[str, Any], kind: TaskKind, name: str, generation: int, official: bool
) -> Flow[Submission]:
    unknown = 0
    for attempt in range(1, CREATE_ATTEMPTS + 1):
        outcome = yield Send("POST", kind.path, body=body)
        try:
            task = _accepted(outcome, kind)
        except KlingDuplicateError as e:
            # After a create of unknown fate, the task that holds the id is the one we sent.
            task = yield from _find_taken(name, kind, official, e)
            return Submission(task, bought=unknown > 0, generation=generation)
        except _UnknownFateError as e:
            log.warning("Whether Kling accepted external id %s is not known (%s). Looking it up.", name, e)
            found = yield from _look_twice(name, kind, official, str(e))
            if found is not None:
                return Submission(found, bought=True, generation=generation)
            unknown += 1
            if unknown == UNKNOWN_ATTEMPTS:
                raise _unknown(name, f"{unknown} times in a row: {e}, and no task was found") from e
            if attempt < CREATE_ATTEMPTS:
                log.warning("No task has external id %s: sending the create again with the same id.", name)
        except KlingAPIError as e:
            if isinstance(e, _AGAIN) and attempt < CREATE_ATTEMPTS:
                log.warning("%s Sending again.", e)
                yield Sleep(backoff(attempt, e.retry_after))
                continue
            if not unknown:
                raise
            # This one was refused, perhaps because the earlier one holds the slot or the last units.
            raise _unknown(name, f"The answer to a create was lost, and the next one failed: {e}") from e
        else:
            if task.external_task_id != name:
                log.warning(
                    "The host did not confirm external id %s: it may not protect against a second purchase.",
                    name,
                )
            return Submission(task, bought=True, generation=generation)
    raise _unknown(name, "gave up after too many attempts")


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


def _look_up(name: str, kind: TaskKind, official: bool) -> Flow[GenerationTask | None]:
    try:
        task = yield from get_task(name, kind)
    except KlingTaskNotFoundError:
        return None
    except (KlingRejectedError, KlingResponseError, KlingServerError) as e:
        if not official and _is_missing_route(e):
            raise _LookUpUnsupportedError from e
        raise
    return task


def _is_missing_route(error: KlingAPIError) -> bool:
    """Whether a host shows that it has no look-up: a page instead of an answer is one of those signs.

    Half a JSON or an empty body is not: that is an answer that got lost on its way.
    """
    if error.code is not None:
        return False
    page = error.http_status == 200 and error.service_message.lstrip().startswith("<")
    return page or error.http_status in (404, 405, 501)


def _look_twice(name: str, kind: TaskKind, official: bool, why: str) -> Flow[GenerationTask | None]:
    try:
        found = yield from _look_up(name, kind, official)
        if found is None:
            yield Sleep(LOOK_AGAIN_AFTER)
            found = yield from _look_up(name, kind, official)
    except _LookUpUnsupportedError as e:
        raise _unknown(name, f"{why}, and this host can't look tasks up by external id", hopeless=True) from e
    except KlingAPIError as e:
        raise _unknown(name, f"{why}, and the look-up failed: {e}") from e
    return found


def _find_taken(
    name: str, kind: TaskKind, official: bool, refusal: KlingDuplicateError
) -> Flow[GenerationTask]:
    """The task that holds an id; it exists, so a look-up that does not see it yet is late."""
    for look in range(1, TAKEN_LOOKS + 1):
        try:
            found = yield from _look_up(name, kind, official)
        except (_LookUpUnsupportedError, KlingAPIError) as e:
            raise _unknown(name, f"It exists ({refusal.service_message}), and the look-up failed: {e}") from e
        if found is not None:
            return found
        if look < TAKEN_LOOKS:
            yield Sleep(backoff(look))
    raise _unknown(
        name,
        f"It exists ({refusal.service_message}), and no look-up finds it. If it was bought more than "
        f"{RETENTION_DAYS} days ago, Kling has cleared it: set another take to buy a new one",
    )


def _unknown(name: str, why: str, *, hopeless: bool = False) -> KlingUnknownOutcomeError:
    advice = (
        "A retry can't find out either, so none is made: look into the host's console, and clear this task "
        "only if the video is not there."
        if hopeless
        else "A retry looks it up before anything is bought."
    )
    error = KlingUnknownOutcomeError(
        f"It is not known whether the video with external id {name} was bought. {why}. "
        f"Nothing was sent again. {advice}",
        external_task_id=name,
    )
    error.hopeless = hopeless
    return error


def newest(kind: TaskKind, external_id: Callable[[int], str], official: bool) -> Flow[GenerationTask | None]:
    """The last task of an identity that did not fail, if there is one. A look-up that fails finds none."""
    for generation in range(GENERATIONS_SEARCHED):
        try:
            task = yield from _look_up(external_id(generation), kind, official)
        except (_LookUpUnsupportedError, KlingError):
            return None
        if task is None or task.status is not TaskStatus.FAILED:
            return task
    return None
