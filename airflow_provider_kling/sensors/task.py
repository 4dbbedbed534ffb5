"""Wait for a task that something else submitted. It reads, and buys nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_kling.boundary import airflow_errors, backstop
from airflow_provider_kling.exceptions import KlingTaskFailedError, KlingTaskTimeoutError
from airflow_provider_kling.links import KlingVideoLink, nothing_pushed_yet, push_task
from airflow_provider_kling.operators.reference import TaskReference

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_kling.api.tasks import GenerationTask

#: Seconds. Airflow's sensors may poke without a pause; a triggerer, which serves all tasks, must not.
SHORTEST_POLL = 1.0


class KlingTaskSensor(BaseSensorOperator):
    """Wait until a Kling task has ended.

    Returns (XCom) the same dict as ``KlingText2VideoOperator``. A task that failed at Kling fails the sensor
    at once: waiting or retrying can't mend it.

    :param kling_task_id: Kling's id, the external id, or what ``KlingText2VideoOperator`` returned
        (templated).
    :param kind: what it makes: ``text2video``, ``image2video``, ... (templated); if not given, what
        ``kling_task_id`` says, else ``text2video``.
    :param kling_conn_id: the connection (templated).
    :param deferrable: wait in the triggerer; ``mode`` does not matter then.
    :param poke_interval: seconds or timedelta between looks; in the triggerer 1 s at least.
    """

    template_fields: Sequence[str] = ("kling_task_id", "kind", "kling_conn_id")
    template_fields_renderers = {"kling_task_id": "json"}  # noqa: RUF012 - Airflow's own convention
    operator_extra_links = (KlingVideoLink(),)
    ui_color = "#e8f0e4"

    def __init__(
        self,
        *,
        kling_task_id: str | dict[str, Any],
        kind: str | None = None,
        kling_conn_id: str = "kling_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.kling_task_id = kling_task_id
        self.kind = kind
        self.kling_conn_id = kling_conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Look once; if the task has not ended, wait in the triggerer, or poke as Airflow's sensors do."""
        if not self.deferrable:
            return super().execute(context)
        if done := self.poke(context):
            return done.xcom_value if isinstance(done, PokeReturnValue) else None
        from airflow_provider_kling.triggers.task import KlingTaskTrigger

        task_id, kind = self._given()
        deadline = time.time() + self.timeout
        self.defer(
            trigger=KlingTaskTrigger(
                kling_conn_id=self.kling_conn_id,
                kling_task_id=task_id,
                kind=kind,
                poll_interval=max(SHORTEST_POLL, self.poke_interval),
                deadline=deadline,
            ),
            method_name="execute_complete",
            timeout=backstop(deadline),
        )
        return None

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Look once. Trouble on the way is no answer: the next poke looks again."""
        from airflow_provider_kling.api.flows import TRANSIENT
        from airflow_provider_kling.hooks.kling import KlingHook

        nothing_pushed_yet(self)
        with airflow_errors():
            hook = KlingHook(self.kling_conn_id)
            try:
                task = hook.get_task(*self._given())
            except TRANSIENT as e:
                hook.log_trouble(e)
                return False
            hook.log_status(task)
            if not task.ended:
                return False
            return PokeReturnValue(is_done=True, xcom_value=self._finish(context, task))

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Resume when the trigger has fired."""
        from airflow_provider_kling.api.tasks import GenerationTask
        from airflow_provider_kling.triggers.task import task_of_event

        # Before the end a sensor has nothing to push: neither had the phase before this one.
        nothing_pushed_yet(self)
        with airflow_errors():
            try:
                summary = task_of_event(event)
            except KlingTaskTimeoutError as e:
                raise AirflowSensorTimeout(str(e)) from e
            return self._finish(context, GenerationTask.from_summary(summary))

    def _given(self) -> tuple[str, str]:
        """The rendered id and kind."""
        given = TaskReference.read(self.kling_task_id, "kling_task_id")
        kind = self.kind or (given.task.kind.value if given.task else "text2video")
        return given.task_id, kind

    def _finish(self, context: Context, task: GenerationTask) -> dict[str, Any]:
        from airflow_provider_kling.api.errors import check_ended_well

        summary = task.summary()
        push_task(self, context, summary)
        try:
            check_ended_well(task)
        except KlingTaskFailedError as e:
            e.hopeless = True
            raise
        return summary
