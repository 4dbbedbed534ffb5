"""Submit a prompt, or adopt the video that an earlier try bought; wait; return a small dict."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import AirflowSkipException, BaseOperator, conf

from airflow_provider_kling.boundary import airflow_errors, backstop
from airflow_provider_kling.links import KlingVideoLink, nothing_pushed_yet, push_task
from airflow_provider_kling.version_compat import set_retry_policy

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_kling.api.tasks import GenerationTask
    from airflow_provider_kling.hooks.kling import KlingHook

#: Arguments that are fields of the request.
REQUEST_FIELDS = (
    "model_name",
    "prompt",
    "negative_prompt",
    "cfg_scale",
    "mode",
    "camera_control",
    "aspect_ratio",
    "duration",
    "callback_url",
    "external_task_id",
    "sound",
    "voice_list",
    "watermark_info",
    "multi_shot",
    "shot_type",
    "multi_prompt",
    "extra_body",
)


class KlingText2VideoOperator(BaseOperator):
    """Make a video from a prompt with Kling.

    One video for each run, task, map index, request and ``take``: a retry, a restart or a clear finds the
    video that was bought and buys nothing. A task that failed at Kling is not charged, and a retry submits
    it anew.

    Returns (XCom) ``{"schema": 1, "kind", "task_id", "external_task_id", "status", "status_message",
    "videos": [{"id", "url", "watermark_url", "duration"}], "units", "created_at", "updated_at",
    "expires_at"}``: times in ISO 8601, ``units`` a decimal string, ``duration`` in seconds. Kling keeps a
    video for 30 days. With ``output_path`` each video has ``path`` (absolute on the worker, or a URI),
    ``bytes`` and ``sha256`` (hexadecimal) too.

    Fields of the request, all templated; source: Kling API reference, "Text to Video":

    :param model_name: else the connection's ``model_name``, else ``kling-v2-6``.
    :param prompt: at most 2500 characters. One that ends in ``.prompt``, ``.txt`` or ``.md`` is taken for the
        name of a file, which is read (Airflow's ``template_ext``); a space or a full stop after it makes it
        a prompt again.
    :param negative_prompt: what to avoid.
    :param cfg_scale: 0 to 1 (v1 models).
    :param mode: ``std``, ``pro`` or ``4k``.
    :param camera_control: ``{"type": "simple", "config": {"zoom": 5}}`` or a preset ``{"type": ...}``.
    :param aspect_ratio: ``16:9``, ``9:16`` or ``1:1``.
    :param duration: seconds.
    :param callback_url: where Kling POSTs status changes.
    :param external_task_id: your own id instead of the computed one; Kling takes each only once.
    :param sound: ``on`` or ``off``.
    :param voice_list: at most two ``{"voice_id": ...}``.
    :param watermark_info: ``{"enabled": True}``.
    :param multi_shot: several shots in one video.
    :param shot_type: ``customize`` or ``intelligence``.
    :param multi_prompt: ``[{"index": 1, "prompt": ..., "duration": ...}, ...]``.
    :param extra_body: fields that this version does not know, sent as they are.

    How to run it:

    :param kling_conn_id: the connection (templated).
    :param wait_for_completion: ``False`` returns once the task is submitted.
    :param deferrable: wait in the triggerer instead of on a worker.
    :param poll_interval: seconds between looks.
    :param timeout: seconds or timedelta from submission until the wait gives up; the video goes on being
        made and a retry picks it up.
    :param capacity_timeout: seconds or timedelta to wait for a free slot when the account has none (1303):
        deferred if ``deferrable``, else on the worker; no retry is used.
    :param on_clear: ``reuse`` (a cleared task gets its video again, nothing is bought) or ``regenerate``
        (each clear buys a new one).
    :param take: another value asks for another version of the same prompt in the same run (templated).
    :param max_units: nothing is bought where the list price is above this many units, or where there is a
        limit and no known price (templated).

    Where the video goes:

    :param output_path: a folder on the worker or in an object storage (``s3://bucket/{{ run_id }}/``) for
        ``{task_id}.mp4``, or ``{task_id}-1.mp4``, … where there are several; or a path that ends in
        ``.mp4`` (templated). Checked before anything is bought.
    :param object_storage_conn_id: connection to that storage (templated).
    :param overwrite: about another file of the same name: ``error``, ``skip`` or ``replace``. The same video
        is never fetched twice. A file at a path that names it is found before anything is bought: ``error``
        fails, ``skip`` skips the task. One that is only found later is kept with ``skip``; its video then has
        ``"kept": True``, and ``bytes`` and ``sha256`` of the file that was kept.
    :param output_watermark: land the watermarked variant instead; needs ``watermark_info``.
    :param asset_extra_prompt: put the prompt into the events on ``outlets``, not only its hash.
    :raises AirflowFailException: retrying can't help: input, credentials, balance, content policy.
    :raises AirflowException: a retry may help.
    :raises AirflowSkipException: ``overwrite="skip"``, and the file is there. Nothing was bought.
    """

    template_fields: Sequence[str] = (
        *REQUEST_FIELDS,
        *("kling_conn_id", "take", "max_units", "output_path", "object_storage_conn_id"),
    )
    template_ext: Sequence[str] = (".prompt", ".txt", ".md")
    template_fields_renderers = {  # noqa: RUF012 - Airflow's own convention
        "camera_control": "json",
        "voice_list": "json",
        "watermark_info": "json",
        "multi_prompt": "json",
        "extra_body": "json",
    }
    operator_extra_links = (KlingVideoLink(),)
    #: Rendered fields are shown once more at the end: then with the model that was sent.
    overwrite_rtif_after_execution = True
    ui_color = "#e8f0e4"

    def __init__(
        self,
        *,
        model_name: str | None = None,
        prompt: str | None = None,
        negative_prompt: str | None = None,
        cfg_scale: float | None = None,
        mode: str | None = None,
        camera_control: dict[str, Any] | None = None,
        aspect_ratio: str | None = None,
        duration: int | str | None = None,
        callback_url: str | None = None,
        external_task_id: str | None = None,
        sound: str | None = None,
        voice_list: list[dict[str, Any]] | None = None,
        watermark_info: dict[str, Any] | None = None,
        multi_shot: bool | None = None,
        shot_type: str | None = None,
        multi_prompt: list[dict[str, Any]] | None = None,
        extra_body: dict[str, Any] | None = None,
        kling_conn_id: str = "kling_default",
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 10.0,
        timeout: float | timedelta = 3600.0,
        capacity_timeout: float | timedelta = 6 * 3600.0,
        on_clear: Literal["reuse", "regenerate"] = "reuse",
        take: str | int | None = None,
        max_units: float | str | None = None,
        output_path: str | None = None,
        object_storage_conn_id: str | None = None,
        overwrite: Literal["error", "skip", "replace"] = "error",
        output_watermark: bool = False,
        asset_extra_prompt: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        set_retry_policy(self)
        self.model_name = model_name
        self.prompt = prompt
        self.negative_prompt = negative_prompt
        self.cfg_scale = cfg_scale
        self.mode = mode
        self.camera_control = camera_control
        self.aspect_ratio = aspect_ratio
        self.duration = duration
        self.callback_url = callback_url
        self.external_task_id = external_task_id
        self.sound = sound
        self.voice_list = voice_list
        self.watermark_info = watermark_info
        self.multi_shot = multi_shot
        self.shot_type = shot_type
        self.multi_prompt = multi_prompt
        self.extra_body = extra_body
        self.kling_conn_id = kling_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        # Settled here, long before a create: a value that no trigger can carry must not cost a video.
        self.poll_interval = float(poll_interval)
        self.timeout = _seconds(timeout)
        self.capacity_timeout = _seconds(capacity_timeout)
        self.on_clear = on_clear
        self.take = take
        self.max_units = max_units
        self.output_path = output_path
        self.object_storage_conn_id = object_storage_conn_id
        self.overwrite = overwrite
        self.output_watermark = output_watermark
        self.asset_extra_prompt = asset_extra_prompt
        if min(self.poll_interval, self.timeout, self.capacity_timeout) <= 0:
            raise ValueError("poll_interval, timeout and capacity_timeout must be above 0 seconds")
        if on_clear not in ("reuse", "regenerate"):
            raise ValueError(f"on_clear must be 'reuse' or 'regenerate', got {on_clear!r}")
        if overwrite not in ("error", "skip", "replace"):
            raise ValueError(f"overwrite must be 'error', 'skip' or 'replace', got {overwrite!r}")
        if output_path is not None and not wait_for_completion:
            raise ValueError("output_path needs wait_for_completion=True; or use KlingDownloadOperator later")
        self._submitted: GenerationTask | None = None
        self._result: dict[str, Any] | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit or adopt, then wait as asked."""
        nothing_pushed_yet(self)
        now = time.time()
        with airflow_errors(context["ti"].try_number):
            return self._execute(context, now, self._within(now, now + self.capacity_timeout))

    def execute_resubmit(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Resume when it is this task's turn to submit: on a new operator, as ``execute_complete``."""
        from airflow_provider_kling.triggers.slot import times_of_event

        nothing_pushed_yet(self)
        with airflow_errors(context["ti"].try_number):
            return self._execute(context, *times_of_event(event))

    def _execute(self, context: Context, queued_at: float, queue_deadline: float) -> dict[str, Any]:
        from airflow_provider_kling.delivery import landing_of
        from airflow_provider_kling.hooks.kling import KlingHook
        from airflow_provider_kling.landing.landing import NothingToBuyError
        from airflow_provider_kling.operators.capacity import SlotWait
        from airflow_provider_kling.purchase import buying_of

        landing = landing_of(self)
        if landing is not None:
            landing.check()
        hook = KlingHook(self.kling_conn_id)
        try:
            buy = buying_of(self, context, hook, landing)
            purchase = SlotWait(self, queued_at, queue_deadline).get(buy)
        except NothingToBuyError as e:
            raise AirflowSkipException(str(e)) from e
        task = self._submitted = purchase.task
        push_task(self, context, task.summary())
        if task.ended or not self.wait_for_completion:
            return self._finish(context, hook, task)
        deadline = self._deadline(purchase.submitted_at, adopted=not purchase.bought)
        if self.deferrable:
            self._defer(task, deadline)
        return self._finish(context, hook, self._wait(hook, task, deadline), told=True)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Resume when the trigger has fired: on a new operator, so all that is known is in the event."""
        from airflow_provider_kling.api.tasks import GenerationTask
        from airflow_provider_kling.hooks.kling import KlingHook
        from airflow_provider_kling.triggers.task import task_of_event

        with airflow_errors():
            hook = KlingHook(self.kling_conn_id)
            # The trigger's lines stand in the same log, as the page of the task shows it.
            return self._finish(context, hook, GenerationTask.from_summary(task_of_event(event)), told=True)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """What the OpenLineage provider asks for when the task has succeeded."""
        from airflow_provider_kling.lineage import openlineage_facets

        return openlineage_facets(self._result)

    def on_kill(self) -> None:
        """Say what goes on: Kling has no cancel call."""
        from airflow_provider_kling.triggers.task import still_running

        if self._submitted is not None and not self._submitted.ended:
            self.log.warning("%s", still_running(self._submitted.task_id, self._submitted.external_task_id))

    def _deadline(self, submitted_at: float, *, adopted: bool) -> float:
        """Seconds since the epoch at which the wait gives up: counted from submission, over all tries."""
        now = time.time()
        deadline = submitted_at + self.timeout
        if adopted and deadline <= now:
            self.log.info(
                "The timeout of %s s has passed since submission; this try waits as long again.", self.timeout
            )
            deadline = now + self.timeout
        return self._within(now, deadline)

    def _within(self, now: float, deadline: float) -> float:
        """Within ``execution_timeout`` too: Airflow does not enforce it while a task is deferred."""
        limit = self.execution_timeout
        return deadline if limit is None else min(deadline, now + limit.total_seconds())

    def _defer(self, task: GenerationTask, deadline: float) -> None:
        from airflow_provider_kling.triggers.task import KlingTaskTrigger

        self.log.info("Waiting for task %s in the triggerer.", task.task_id)
        self.defer(
            trigger=KlingTaskTrigger(
                kling_conn_id=self.kling_conn_id,
                kling_task_id=task.task_id,
                kind=task.kind.value,
                external_task_id=task.external_task_id,
                poll_interval=self.poll_interval,
                deadline=deadline,
                model_name=self.model_name or "",
            ),
            method_name="execute_complete",
            timeout=backstop(deadline),
        )

    def _wait(self, hook: KlingHook, task: GenerationTask, deadline: float) -> GenerationTask:
        from airflow_provider_kling.api.polling import WaitPlan

        plan = WaitPlan(self.poll_interval, deadline)
        return hook.wait(task.task_id, plan, task.kind.value, first_pause=self.poll_interval)

    def _finish(
        self, context: Context, hook: KlingHook, task: GenerationTask, *, told: bool = False
    ) -> dict[str, Any]:
        """Keep the last state for the link on the task page; fail if Kling did; land the videos.

        :param told: that it has ended stands in this log already.
        """
        from airflow_provider_kling.api.errors import check_ended_well
        from airflow_provider_kling.delivery import delivery_of
        from airflow_provider_kling.landing.download import shown

        self._submitted = task
        summary = task.summary()
        push_task(self, context, summary)
        if task.ended:
            if not told:
                hook.log_status(task)
            check_ended_well(task)
            addresses = ", ".join(shown(video.url) for video in task.videos)
            self.log.info("Made by task %s: %s", task.task_id, addresses)
            summary = self._result = delivery_of(self, hook, task).deliver(context, hook, task)
            push_task(self, context, summary)
        return summary


def _seconds(duration: float | timedelta) -> float:
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
