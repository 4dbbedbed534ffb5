"""An Airflow connection becomes a client of the Kling API."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook
from asgiref.sync import sync_to_async

from airflow_provider_kling.api import costs, flows, submission
from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.api.client import AsyncKlingClient, KlingClient, ssl_context
from airflow_provider_kling.api.costs import ResourcePack
from airflow_provider_kling.api.flows import Flow
from airflow_provider_kling.api.lookup import Books
from airflow_provider_kling.api.polling import WaitPlan
from airflow_provider_kling.api.requests import Text2VideoRequest, check_capabilities
from airflow_provider_kling.api.submission import Submission
from airflow_provider_kling.api.tasks import GenerationTask
from airflow_provider_kling.exceptions import (
    KlingAPIError,
    KlingError,
    KlingInputError,
    KlingNoConnectionError,
    KlingTaskNotFoundError,
)
from airflow_provider_kling.get_provider_info import CONNECTION_FIELDS, UI_FIELD_BEHAVIOUR
from airflow_provider_kling.hooks.connection import KlingConnection
from airflow_provider_kling.identity import Identity

T = TypeVar("T")


class KlingHook(BaseHook):
    """Calls to the Kling API with the credentials of an Airflow connection.

    Connection: ``password`` alone is an API key, ``login`` and ``password`` are AccessKey and SecretKey.
    ``host`` is the base URL with its path, ``https://api-singapore.klingai.com`` by default.
    Extra: ``model_name``, ``prompt_max_chars``, ``negative_prompt_max_chars``, ``max_concurrency``,
    ``max_qps`` (requests a second), ``external_task_ids`` (``true``: this relay keeps them unique, as Kling
    does), ``timeout`` (seconds), ``proxy``, ``verify``.

    Methods raise :class:`~airflow_provider_kling.exceptions.KlingError`; its class says whether anything was
    bought and whether a retry helps.

    :param kling_conn_id: the connection.
    """

    conn_name_attr = "kling_conn_id"
    default_conn_name = "kling_default"
    conn_type = "kling"
    hook_name = "Kling"

    def __init__(self, kling_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kling_conn_id = kling_conn_id
        self._connection: KlingConnection | None = None

    # Airflow below 3.2 asks the class for its form; later versions read provider info.

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Labels of the connection form."""
        return {
            "hidden_fields": UI_FIELD_BEHAVIOUR["hidden-fields"],
            "relabeling": UI_FIELD_BEHAVIOUR["relabeling"],
            "placeholders": UI_FIELD_BEHAVIOUR["placeholders"],
        }

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Extra fields of the connection form."""
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
        from wtforms import StringField

        return {
            name: StringField(field["label"], widget=BS3TextFieldWidget())
            for name, field in CONNECTION_FIELDS.items()
        }

    def read_connection(self) -> KlingConnection:
        """Read the connection, once. Blocking: on an event loop, call it through ``sync_to_async``.

        :raises KlingNoConnectionError: Airflow has none of this id now; a retry may help.
        :raises KlingInputError: the connection has no usable key, host or extra.
        """
        if self._connection is None:
            try:
                found = self.get_connection(self.kling_conn_id)
            except AirflowNotFoundException as e:
                raise KlingNoConnectionError(
                    f"kling_conn_id: there is no connection {self.kling_conn_id!r}. Nothing was bought; "
                    "create it (type kling), or correct the id."
                ) from e
            self._connection = KlingConnection.read(found)
        return self._connection

    def get_conn(self) -> KlingClient:
        """A client; close it, or use it in a ``with``."""
        return KlingClient(self.read_connection().client)

    async def aread_connection(self) -> KlingConnection:
        """:meth:`read_connection` on an event loop.

        In a thread: Airflow's synchronous accessors must not run on a triggerer's loop, and its asynchronous
        ones are missing or fail in ``dag.test()`` on some versions. The TLS context is made there too.
        """

        def read() -> KlingConnection:
            connection = self.read_connection()
            ssl_context(connection.client.verify)
            return connection

        return await sync_to_async(read)()

    async def get_async_conn(self) -> AsyncKlingClient:
        """A client for the running event loop; close it."""
        return AsyncKlingClient((await self.aread_connection()).client)

    @property
    def base_url(self) -> str:
        """Where calls go."""
        return self.read_connection().client.base_url

    def resolve(self, request: Text2VideoRequest) -> Text2VideoRequest:
        """The request as it will be sent: with a model, and checked against model, host and connection.

        :raises KlingInputError: the model or the connection forbids something; nothing was bought.
        """
        connection = self.read_connection()
        resolved = request.model_copy(update={"model_name": request.model_name or connection.model_name})
        for warning in check_capabilities(resolved, connection.limits):
            self.log.warning("%s.", warning)
        return resolved

    def submit(self, request: Text2VideoRequest, external_task_id: str | None = None) -> GenerationTask:
        """Buy a video, or find the one bought under the same external id.

        :param request: what to make.
        :param external_task_id: the caller's own id, unique in the account; made up if not given, so that
            an answer that gets lost can be looked up. Calls with the same id never buy twice.
        """
        resolved = self.resolve(request)
        name = external_task_id or resolved.external_task_id or f"af-{uuid.uuid4().hex}"
        Text2VideoRequest(prompt="-", external_task_id=name)
        return self.submit_or_adopt(resolved, Identity(name, own=True), look_up_first=False).task

    def submit_or_adopt(
        self,
        request: Text2VideoRequest,
        identity: Identity,
        *,
        look_up_first: bool,
        generation: int = 0,
        announced: bool = False,
        before_create: Callable[[], object] = lambda: None,
    ) -> Submission:
        """Buy a video unless it is there.

        :param request: from :meth:`resolve`.
        :param identity: the ids that stand for it.

        The rest as of :func:`airflow_provider_kling.api.submission.submit`.
        """
        body = request.body()
        body.pop("external_task_id", None)
        return self._run(
            submission.submit(
                body,
                self._books,
                identity.external_task_id,
                look_up_first=look_up_first,
                now=time.time(),
                generation=generation,
                announced=announced,
                slots=self.read_connection().max_concurrency,
                before_create=before_create,
            )
        )

    def find_task(self, task_id: str) -> GenerationTask | None:
        """A text2video task, or ``None`` where Kling has it no longer."""
        try:
            return self.get_task(task_id)
        except KlingTaskNotFoundError:
            self.log.warning("Kling no longer has task %s, which an earlier try submitted.", task_id)
            return None

    def newest_of(self, identity: Identity) -> GenerationTask | None:
        """The last task of an identity that did not fail, if a look-up finds one."""
        return self._run(self._books.newest(identity.external_task_id))

    def get_task(self, task_id: str, kind: str = TaskKind.TEXT2VIDEO.value) -> GenerationTask:
        """Look a task up by Kling's id or by its external id.

        :param kind: what it makes, e.g. ``text2video``, ``image2video``.
        :raises KlingTaskNotFoundError: the account has no such task.
        """
        return self._run(flows.get_task(task_id, kind_of(kind)))

    def list_tasks(
        self, kind: str = TaskKind.TEXT2VIDEO.value, *, page: int = 1, page_size: int = 30
    ) -> list[GenerationTask]:
        """One page of the account's tasks; the order is undocumented.

        :param page: 1 to 1000.
        :param page_size: 1 to 500.
        """
        return self._run(flows.list_tasks(kind_of(kind), page, page_size))

    def wait(
        self, task_id: str, plan: WaitPlan, kind: str = TaskKind.TEXT2VIDEO.value, first_pause: float = 0.0
    ) -> GenerationTask:
        """Look at a task until it has ended, in this process.

        :raises KlingTaskTimeoutError: the plan's deadline passed.
        """
        return self._run(self._waiting(task_id, plan, kind, first_pause))

    async def aget_task(self, task_id: str, kind: str = TaskKind.TEXT2VIDEO.value) -> GenerationTask:
        """:meth:`get_task` on an event loop."""
        async with await self.get_async_conn() as client:
            return await client.run(flows.get_task(task_id, kind_of(kind)))

    async def await_task(
        self, task_id: str, plan: WaitPlan, kind: str = TaskKind.TEXT2VIDEO.value, first_pause: float = 0.0
    ) -> GenerationTask:
        """:meth:`wait` on an event loop."""
        async with await self.get_async_conn() as client:
            return await client.run(self._waiting(task_id, plan, kind, first_pause))

    def account_costs(
        self,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        resource_pack_name: str | None = None,
    ) -> list[ResourcePack]:
        """The account's prepaid packs, and what is left of each; up to 12 hours behind. Free.

        Kling takes one such call a second: further ones of this process wait their turn.

        :param start: with its time zone; a year before ``end`` if not given.
        :param end: now if not given.
        :param resource_pack_name: of one pack only.
        """
        end = end or datetime.now(timezone.utc)
        start = start or end - timedelta(days=365)
        return self._run(costs.account_costs(start, end, resource_pack_name, clock=time.monotonic))

    def test_connection(self) -> tuple[bool, str]:
        """Try host and credentials. Free: it asks for a task that does not exist."""
        try:
            self._run(flows.probe())
        except KlingError as e:
            return False, str(e)
        except Exception as e:
            return False, f"{type(e).__name__}: {e}"
        return True, f"{self.base_url} accepts the credentials."

    def log_status(self, task: GenerationTask) -> None:
        """One line for each status change."""
        self.log.info("%s", task.described())

    def log_trouble(self, error: KlingAPIError) -> None:
        """One line for the first of several looks that fail."""
        self.log.warning("Could not look at the task, going on: %s", error)

    @property
    def _books(self) -> Books:
        return Books(TaskKind.TEXT2VIDEO, self.read_connection().keeps_ids)

    def _waiting(self, task_id: str, plan: WaitPlan, kind: str, first_pause: float) -> Flow[GenerationTask]:
        return flows.wait(
            task_id,
            kind_of(kind),
            plan,
            clock=time.time,
            first_pause=first_pause,
            on_change=self.log_status,
            on_trouble=self.log_trouble,
        )

    def _run(self, flow: Flow[T]) -> T:
        with self.get_conn() as client:
            return client.run(flow)


def kind_of(kind: str) -> TaskKind:
    """The kind by its name.

    :raises KlingInputError: there is none.
    """
    try:
        return TaskKind(kind)
    except ValueError:
        known = ", ".join(k.value for k in TaskKind)
        raise KlingInputError(f"kind: {kind!r} is not one of {known}. Nothing was bought.") from None
