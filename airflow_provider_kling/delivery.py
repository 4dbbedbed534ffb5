"""What follows when a video is there: land it, and tell Airflow. On a worker; it buys nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_kling import assets, cost, lineage
from airflow_provider_kling.api.errors import check_ended_well
from airflow_provider_kling.api.tasks import GenerationTask
from airflow_provider_kling.exceptions import KlingInputError
from airflow_provider_kling.landing.clip import paid_for
from airflow_provider_kling.landing.landing import Landing

if TYPE_CHECKING:
    from airflow_provider_kling.hooks.kling import KlingHook
    from airflow_provider_kling.operators.text2video import KlingText2VideoOperator


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
        :return: the task's summary; each landed video has ``path``, ``bytes`` and ``sha256`` too, and
            ``kept`` where another file was kept in its place. Of such a file Airflow is told nothing: it is
            not what the task made.
        :raises KlingTaskFailedError: it failed at Kling.
        :raises KlingLandingError: a video could not be landed; a retry buys nothing.
        """
        check_ended_well(task)
        landed = self.landing.land(task, hook) if self.landing is not None else []
        summary = task.summary()
        for video, file in zip(summary["videos"], landed, strict=False):
            video.update(file.xcom())
        made = [(n, file) for n, file in enumerate(landed) if not file.kept]
        if made:
            extras = [
                assets.describe(task, file, n, self.request, with_prompt=self.asset_extra_prompt)
                for n, file in made
            ]
            assets.emit(context, self.operator.outlets, extras)
            lineage.collect(self.operator, [file.path for _, file in made])
        if self.counted:
            # A kept file is no proof that its video was counted before.
            there = bool(landed) and not any(file.fetched or file.kept for file in landed)
            cost.count(context, summary, model=self.request.model or "unknown", already_landed=there)
        return summary


def landing_of(operator: KlingText2VideoOperator) -> Landing | None:
    """Where its rendered arguments say that videos go; ``None`` if they stay with Kling.

    :raises KlingInputError: they make no sense.
    """
    if operator.output_path is None:
        return None
    asked = operator.watermark_info
    if operator.output_watermark and not (isinstance(asked, dict) and asked.get("enabled") is True):
        raise KlingInputError(
            "output_watermark: there is a watermarked variant only with watermark_info={'enabled': True}. "
            "Nothing was bought; set it, retrying will not help."
        )
    return Landing.of(
        operator.output_path, operator.object_storage_conn_id, operator.overwrite, operator.output_watermark
    )


def delivery_of(operator: KlingText2VideoOperator, hook: KlingHook, task: GenerationTask) -> Delivery:
    """How it hands a finished task on. Not checked again: the video is bought.

    :raises KlingLandingError: its arguments, rendered anew, make no sense any more.
    """
    if not operator.model_name:
        # Only for what is told of the video; a connection that is gone by now must not lose it.
        with contextlib.suppress(Exception):
            operator.model_name = hook.read_connection().model_name
    request = assets.Request.of(
        model_name=operator.model_name or "unknown",
        mode=operator.mode,
        prompt=operator.prompt,
        multi_prompt=operator.multi_prompt,
    )
    with paid_for(task):
        landing = landing_of(operator)
    return Delivery(operator, landing, request, operator.asset_extra_prompt)
