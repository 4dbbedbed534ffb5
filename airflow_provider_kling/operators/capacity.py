"""Waiting for a free slot of the account: a full account is a queue, not a failure, and uses no retry."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_kling.api import polling
from airflow_provider_kling.boundary import backstop
from airflow_provider_kling.exceptions import KlingConcurrencyError

if TYPE_CHECKING:
    from airflow_provider_kling.operators.text2video import KlingText2VideoOperator
    from airflow_provider_kling.purchase import Purchase


@dataclass(frozen=True)
class SlotWait:
    """A task's place in the line.

    :param operator: that wants a video.
    :param since: seconds since the epoch at which it first asked: who waits longest is served first.
    :param deadline: seconds since the epoch at which it gives up.
    """

    operator: KlingText2VideoOperator
    since: float
    deadline: float

    def get(self, buy: Callable[[], Purchase]) -> Purchase:
        """Buy; while the account has no free slot, wait for one: in the triggerer if the operator does.

        :param buy: adopts or buys.
        :raises KlingConcurrencyError: no slot became free in time.
        """
        waiting = False
        while True:
            try:
                return buy()
            except KlingConcurrencyError as e:
                left = self.deadline - time.time()
                if left <= 0:
                    raise self._too_late(e) from e
                if not waiting:
                    self.operator.log.info(
                        "No free slot, nothing bought yet: waiting for one, at most %.0f s. %s",
                        left,
                        _said(e),
                    )
                waiting = True
            if self.operator.deferrable:
                self._defer()
            time.sleep(min(polling.SLOT_PAUSE, left))

    def _too_late(self, error: KlingConcurrencyError) -> KlingConcurrencyError:
        return KlingConcurrencyError(
            f"No slot became free within {time.time() - self.since:.0f} s (capacity_timeout, or "
            "execution_timeout). Nothing was bought. A retry waits as long again; raise it, or use a pool "
            f"with include_deferred=True. {_said(error)}",
            code=error.code,
            http_status=error.http_status,
            request_id=error.request_id,
        )

    def _defer(self) -> None:
        from airflow_provider_kling.triggers.slot import KlingSlotTrigger

        self.operator.defer(
            trigger=KlingSlotTrigger(
                kling_conn_id=self.operator.kling_conn_id,
                model_name=self.operator.model_name or "",
                since=self.since,
                deadline=self.deadline,
            ),
            method_name="execute_resubmit",
            timeout=backstop(self.deadline),
        )


def _said(error: KlingConcurrencyError) -> str:
    """Kling's words without the advice that goes with a failure; ours where Kling was not asked."""
    if error.code is None:
        return str(error)
    return (
        f"(Kling said {error.code}: {error.service_message or 'nothing'!r}, "
        f"request_id {error.request_id or 'not given'})"
    )
