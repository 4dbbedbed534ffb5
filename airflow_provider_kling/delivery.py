"""What follows when a video is there: land it, and tell Airflow. On a worker; it buys nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_kling import assets, cost, lineage
from airflow_provider_kling.api.errors import check_ended_well
from airflow_provider_kling.api.tasks import GenerationTask
from airflow_provider_kling.landing.landing import Landing

if TYPE_CHECKING:
    from airflow_provider_kling.hooks.kling import KlingHook


@dataclass(frozen=True)
class Delivery:
    """How an operator hands a finished task on.

    :param operator: whose ``outlets`` get the asset events.
    :param landing: where the videos go; ``None`` to leave them with Kling.
    :param request: what was asked for.
    :param asset_extra_prompt: put the prompt into asset events.
    :param counted: add what it cost to the metrics; not for a task that somebody else bought.
    """

    operator: Any
    landing: Landing | None
    request: assets.Request
    asset_extra_prompt: bool = False
    counted: bool = True

    def deliver(self, context: Mapping[str, Any], hook: KlingHook, task: GenerationTask) -> dict[str, Any]:
        """Land the videos, and say so.

        :param task: that has ended.
        :return: the task's summary; each landed video has ``path``, ``bytes`` and ``sha256`` too.
        :raises KlingTaskFailedError: it failed at Kling.
        :raises KlingLandingError: a video could not be landed; a retry buys nothing.
        """
        check_ended_well(task)
        landed = self.landing.land(task, hook) if self.landing is not None else []
        summary = task.summary()
        for video, file in zip(summary["videos"], landed, strict=False):
            video.update(file.xcom())
        if landed:
            extras = [
                assets.describe(task, file, n, self.request, with_prompt=self.asset_extra_prompt)
                for n, file in enumerate(landed)
            ]
            assets.emit(context, self.operator.outlets, extras)
            lineage.collect(self.operator, [file.path for file in landed])
        if self.counted:
            there = bool(landed) and not any(file.fetched for file in landed)
            cost.count(context, summary, model=self.request.model or "unknown", already_landed=there)
        return summary
