"""Wait for a task that something else submitted. It reads, and buys nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_kling.boundary import airflow_errors
from airflow_provider_kling.exceptions import KlingTaskFailedError, KlingTaskTimeoutError
from airflow_provider_kling.links import TASK_XCOM_KEY, KlingVideoLink
from airflow_provider_kling.operators.text2video import BACKSTOP_SECONDS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_kling.api.tasks import GenerationTask


class KlingTaskSensor(BaseSensorOperator):
    """Wait until a Kling task has ended.

    Returns (XCom) the same dict as ``KlingText2VideoOperator``. A task that failed at Kling fails the sensor
    at once: waiting or retrying can't mend it.

    :param kling_task_id: Kling's id or the external id (templated).
    :param kind: what it makes: ``text2video``, ``image2video``, ... (templated).
    :param kling_conn_id: the connection (templated).
    :param deferrable: wait in the triggerer; ``mode`` does not matter then.
    """

    template_fields: Sequence[str] = ("kling_task_id", "kind", "kling_conn_id")
    operator_extra_links = (KlingVideoLink(),)
    ui_color = "#e8f0e4"

    def __init__(
        self,
        *,
        kling_task_id: str,
        kind: str = "text2video",
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

        deadline = time.time() + self.timeout
        self.defer(
            trigger=KlingTaskTrigger(
                kling_conn_id=self.kling_conn_id,
                kling_task_id=self.kling_task_id,
                kind=self.kind,
                poll_interval=self.poke_interval,
                deadline=deadline,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout + BACKSTOP_SECONDS),
        )
        return None

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Look once. Trouble on the way is no answer: the next poke looks again."""
        from airflow_provider_kling.api.flows import TRANSIENT
        from airflow_provider_kling.hooks.kling import KlingHook

        with airflow_errors():
            hook = KlingHook(self.kling_conn_id)
            try:
                task = hook.get_task(self.kling_task_id, self.kind)
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

        with airflow_errors():
            try:
                summary = task_of_event(event)
            except KlingTaskTimeoutError as e:
                raise AirflowSensorTimeout(str(e)) from e
            return self._finish(context, GenerationTask.from_summary(summary))

    def _finish(self, context: Context, task: GenerationTask) -> dict[str, Any]:
        from airflow_provider_kling.api.errors import check_ended_well

        summary = task.summary()
        context["ti"].xcom_push(key=TASK_XCOM_KEY, value=summary)
        try:
            check_ended_well(task)
        except KlingTaskFailedError as e:
            e.hopeless = True
            raise
        return summary
