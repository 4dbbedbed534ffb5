"""One video for one task instance: find what an earlier try bought, or buy; record it; say so in the log."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_kling import cost
from airflow_provider_kling import identity as ids
from airflow_provider_kling import record as records
from airflow_provider_kling.api import catalog, submission
from airflow_provider_kling.api.requests import Text2VideoRequest
from airflow_provider_kling.api.submission import Submission
from airflow_provider_kling.api.tasks import GenerationTask
from airflow_provider_kling.exceptions import (
    KlingAPIError,
    KlingInputError,
    KlingRejectedError,
    KlingTaskNotFoundError,
)
from airflow_provider_kling.hooks.kling import KlingHook
from airflow_provider_kling.identity import Identity
from airflow_provider_kling.record import SubmissionRecord

if TYPE_CHECKING:
    from airflow_provider_kling.landing.landing import Landing
    from airflow_provider_kling.operators.text2video import KlingText2VideoOperator

log = logging.getLogger(__name__)

_DAY = 86400.0


@dataclass(frozen=True)
class Purchase:
    """The task that stands for a task instance's request.

    :param task: as Kling last described it.
    :param bought: by this try; otherwise it was there and was adopted.
    :param submitted_at: seconds since the epoch.
    """

    task: GenerationTask
    bought: bool
    submitted_at: float


@dataclass(frozen=True)
class Buyer:
    """Who asks: a task instance, its operator's policy, and its connection.

    :param context: Airflow's, of the running try.
    :param hook: of the connection.
    :param retries: of the operator.
    :param on_clear: ``reuse`` or ``regenerate``.
    :param take: the author's number of another version.
    :param before_create: called when something has to be bought; raises to forbid that.
    """

    context: Mapping[str, Any]
    hook: KlingHook
    retries: int = 0
    on_clear: str = "reuse"
    take: str | int | None = None
    before_create: Callable[[], object] = lambda: None

    def get(self, request: Text2VideoRequest) -> Purchase:
        """Adopt or buy.

        :param request: as the author gave it, rendered.
        :raises KlingError: see :mod:`airflow_provider_kling.api.submission`.
        """
        ti = self.context["ti"]
        resolved = self.hook.resolve(request)
        fingerprint = ids.fingerprint(self.hook.base_url, resolved.body())
        identity = self._identity(resolved, fingerprint, self._epoch)
        found = records.recall(self.context)
        mine = found if found is not None and found.is_of(identity, fingerprint) else None
        done = self._submit(resolved, identity, fingerprint, mine)
        task, now = done.task, time.time()
        adopted_from = mine if not done.bought and mine and mine.task_id == task.task_id else None
        if adopted_from is not None:
            submitted_at = adopted_from.submitted_at
        else:
            submitted_at = now if done.bought or not task.created_at else task.created_at.timestamp()
            name = identity.external_task_id(done.generation)
            records.remember(
                self.context,
                SubmissionRecord(
                    task.task_id,
                    name,
                    fingerprint,
                    submitted_at,
                    ti.try_number if done.bought else 0,
                    self._clears,
                ),
            )
        if done.bought:
            self._say_bought(resolved, task, fingerprint, found)
        else:
            self._say_adopted(task, adopted_from)
        return Purchase(task, done.bought, min(submitted_at, now))

    @property
    def _clears(self) -> int:
        return ids.clears(self.context["ti"], self.retries)

    @property
    def _epoch(self) -> int:
        return self._clears if self.on_clear == "regenerate" else 0

    def _identity(self, request: Text2VideoRequest, fingerprint: str, epoch: int) -> Identity:
        if not request.external_task_id:
            return Identity.of(self.context["ti"], fingerprint, take=self.take, epoch=epoch)
        if epoch or self.take is not None:
            asked = "take" if self.take is not None else "on_clear='regenerate'"
            raise KlingInputError(
                f"external_task_id {request.external_task_id!r} is your own, and Kling takes an id only "
                f"once: {asked} can't make another video under it. Nothing was bought. Choose another id, or "
                "leave external_task_id out."
            )
        return Identity(request.external_task_id, own=True)

    def _submit(
        self,
        request: Text2VideoRequest,
        identity: Identity,
        fingerprint: str,
        mine: SubmissionRecord | None,
    ) -> Submission:
        ti, now = self.context["ti"], time.time()
        generation = (identity.generation(mine.external_task_id) or 0) if mine else 0
        # Announced, not completed: an earlier try may have bought. A clear since then is a person's word.
        announced = mine if mine is not None and not mine.task_id and mine.clears >= self._clears else None
        if mine is not None and mine.task_id:
            known = self._known(mine, now)
            if known is not None and not submission.is_spent(known, now):
                return Submission(known, bought=False, generation=generation)
            generation += 1
        if not self.hook.read_connection().keeps_ids and announced is None:
            # Only where Kling's own refusal of a second order may be missing.
            name = identity.external_task_id(generation)
            records.announce(
                self.context, SubmissionRecord("", name, fingerprint, now, ti.try_number, self._clears)
            )
        try:
            return self.hook.submit_or_adopt(
                request,
                identity,
                look_up_first=ti.try_number > 1,
                generation=generation,
                announced=announced is not None,
                before_create=self.before_create,
            )
        except (KlingAPIError, KlingInputError):
            if announced is None:
                records.withdraw(self.context)
            raise

    def _known(self, record: SubmissionRecord, now: float) -> GenerationTask | None:
        """The task of a record; ``None`` once Kling has cleared it."""
        try:
            return self.hook.get_task(record.task_id)
        except KlingTaskNotFoundError as e:
            if now - record.submitted_at > catalog.RETENTION_DAYS * _DAY:
                log.warning(
                    "Kling cleared task %s (external id %s), made more than %s days ago: it is bought anew.",
                    record.task_id,
                    record.external_task_id,
                    catalog.RETENTION_DAYS,
                )
                return None
            raise KlingRejectedError(
                f"Task {record.task_id} (external id {record.external_task_id}), which try "
                f"{record.try_number} bought, is not known to this account any more. Nothing was bought "
                "again. Was the connection changed to another account? To buy it there, set another take. "
                f"({e})",
                request_id=e.request_id,
            ) from e

    def _say_bought(
        self,
        request: Text2VideoRequest,
        task: GenerationTask,
        fingerprint: str,
        found: SubmissionRecord | None,
    ) -> None:
        units = cost.estimate(request)
        price = "price not known" if units is None else f"{units} units estimated"
        what = f"task {task.task_id} (external id {task.external_task_id or 'not confirmed'}, {price})"
        if not self._epoch:
            log.info("Bought: %s.", what)
            return
        old = self._previous(request, fingerprint, found)
        if old is None:
            log.info("New take after clear: bought %s.", what)
        elif old.ended:
            log.info("New take after clear: bought %s; task %s was billed too.", what, old.task_id)
        else:
            log.info("New take after clear: bought %s; task %s goes on and is billed.", what, old.task_id)

    def _previous(
        self, request: Text2VideoRequest, fingerprint: str, found: SubmissionRecord | None
    ) -> GenerationTask | None:
        """The take before this one. Only read, and only for the log."""
        if found is not None and found.task_id:
            return self.hook.find_task(found.task_id)
        for epoch in range(self._epoch - 1, -1, -1):
            if (old := self.hook.newest_of(self._identity(request, fingerprint, epoch))) is not None:
                return old
        return None

    def _say_adopted(self, task: GenerationTask, record: SubmissionRecord | None) -> None:
        first = self.context["ti"].try_number == 1
        origin = "an earlier run of the same name" if first else "an earlier try"
        if record is not None and record.try_number:
            origin = f"try {record.try_number}"
        log.info(
            "Adopted: task %s (external id %s, %s) from %s, nothing bought.%s",
            task.task_id,
            task.external_task_id or "not confirmed",
            task.status.value,
            origin,
            " For a new video set another take, or on_clear='regenerate'." if self._clears or first else "",
        )


def buying_of(
    operator: KlingText2VideoOperator, context: Mapping[str, Any], hook: KlingHook, landing: Landing | None
) -> Callable[[], Purchase]:
    """What its rendered arguments ask for, to be adopted or bought; may be tried again when there is a slot.

    :param landing: where the video is to go, if anywhere.
    :raises KlingInputError: they make no sense.
    """
    request = Text2VideoRequest(**{name: getattr(operator, name) for name in Text2VideoRequest.model_fields})
    operator.model_name = request.model_name or hook.read_connection().model_name
    priced = request.model_copy(update={"model_name": operator.model_name})
    # Not before something has to be bought: what is there costs nothing. Once, however often it is tried.
    affordable = functools.cache(lambda: cost.check_budget(priced, operator.max_units))

    def before_create() -> None:
        # Each time: another task may have landed its file there while this one waited for a slot.
        if landing is not None:
            landing.check_free()
        affordable()

    buyer = Buyer(context, hook, operator.retries or 0, operator.on_clear, operator.take, before_create)
    return lambda: buyer.get(request)
