"""Land a video that was made elsewhere, or yesterday."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_kling.boundary import airflow_errors
from airflow_provider_kling.links import KlingVideoLink, nothing_pushed_yet, push_task
from airflow_provider_kling.version_compat import set_retry_policy

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_kling.api.tasks import GenerationTask
    from airflow_provider_kling.hooks.kling import KlingHook


class KlingDownloadOperator(BaseOperator):
    """Copy the videos of a finished Kling task to your own storage. It buys nothing, ever.

    A file that is there already with the size and hash of an earlier landing is left alone, so retries and
    clears cost no download. Kling clears videos after 30 days.

    Returns (XCom) the dict of ``KlingText2VideoOperator``, where each video has ``path`` (absolute on this
    machine, or a URI), ``bytes`` and ``sha256`` too.

    :param task: what ``KlingText2VideoOperator`` or ``KlingTaskSensor`` returned, Kling's id of a task, or
        the external id (templated).
    :param output_path: a folder, or a path that ends in ``.mp4``, as of ``KlingText2VideoOperator``
        (templated).
    :param kind: what the task makes, where ``task`` is an id (templated).
    :param object_storage_conn_id: connection to the storage (templated).
    :param overwrite: about another file of the same name: ``error``, ``skip`` (keep it) or ``replace``. Where
        one was kept, the video has ``"kept": True``, and ``bytes`` and ``sha256`` of that file.
    :param watermark: land the watermarked variant instead; it must have been asked for when it was made.
    :param kling_conn_id: the connection to Kling (templated).
    :raises AirflowFailException: retrying can't help: the video was cleared, or a path makes no sense.
    :raises AirflowException: a retry may help.
    """

    template_fields: Sequence[str] = (
        "task",
        "output_path",
        "kind",
        "object_storage_conn_id",
        "overwrite",
        "kling_conn_id",
    )
    template_fields_renderers = {"task": "json"}  # noqa: RUF012 - Airflow's own convention
    operator_extra_links = (KlingVideoLink(),)
    ui_color = "#e8f0e4"

    def __init__(
        self,
        *,
        task: str | dict[str, Any],
        output_path: str,
        kind: str = "text2video",
        object_storage_conn_id: str | None = None,
        overwrite: str = "error",
        watermark: bool = False,
        kling_conn_id: str = "kling_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        set_retry_policy(self)
        self.task = task
        self.output_path = output_path
        self.kind = kind
        self.object_storage_conn_id = object_storage_conn_id
        self.overwrite = overwrite
        self.watermark = watermark
        self.kling_conn_id = kling_conn_id
        self._summary: dict[str, Any] | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Look the task up where only its id is known, then land its videos."""
        from airflow_provider_kling.assets import Request
        from airflow_provider_kling.delivery import Delivery
        from airflow_provider_kling.hooks.kling import KlingHook
        from airflow_provider_kling.landing.landing import Landing

        nothing_pushed_yet(self)
        with airflow_errors():
            landing = Landing.of(
                self.output_path, self.object_storage_conn_id, self.overwrite, self.watermark
            )
            landing.check()
            hook = KlingHook(self.kling_conn_id)
            task = self._find(hook)
            push_task(self, context, task.summary())
            delivery = Delivery(self, landing, Request(), counted=False)
            self._summary = delivery.deliver(context, hook, task)
            push_task(self, context, self._summary)
            return self._summary

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """What the OpenLineage provider asks for when the task has succeeded."""
        from airflow_provider_kling.lineage import openlineage_facets

        return openlineage_facets(self._summary)

    def _find(self, hook: KlingHook) -> GenerationTask:
        from airflow_provider_kling.exceptions import KlingLandingError, KlingTaskNotFoundError
        from airflow_provider_kling.operators.reference import TaskReference

        given = TaskReference.read(self.task, "task")
        if given.task is not None and given.task.videos:
            return given.task
        task_id, kind = given.task_id, given.task.kind.value if given.task else self.kind
        try:
            task = hook.get_task(task_id, kind)
        except KlingTaskNotFoundError as e:
            raise KlingLandingError(
                f"Kling has no task {task_id!r} ({kind}): there is nothing to land. {e}",
                task_id=task_id,
                hopeless=True,
            ) from e
        if not task.ended:
            raise KlingLandingError(
                f"Task {task_id} is {task.status.value}: there is no video yet. Wait for it with "
                "KlingTaskSensor first; a retry looks again.",
                task_id=task_id,
            )
        return task
