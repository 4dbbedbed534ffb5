"""The hook against the emulator."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_kling.api.requests import Text2VideoRequest
from airflow_provider_kling.api.tasks import TaskStatus
from airflow_provider_kling.exceptions import (
    KlingAccountError,
    KlingInputError,
    KlingNoConnectionError,
    KlingTaskNotFoundError,
)
from airflow_provider_kling.hooks.kling import KlingHook
from tests.emulator_fixtures import Served

pytestmark = pytest.mark.usefixtures("fast")


def test_submit_look_up_and_list(kling: Served) -> None:
    task = KlingHook().submit(Text2VideoRequest(prompt="A fox"), external_task_id="mine")
    assert (task.status, task.external_task_id) == (TaskStatus.SUBMITTED, "mine")
    assert KlingHook().get_task(task.task_id).status is TaskStatus.SUCCEEDED
    assert [t.task_id for t in KlingHook().list_tasks(page_size=10)] == [task.task_id]


def test_the_same_external_id_never_buys_twice(kling: Served) -> None:
    tasks = {
        KlingHook().submit(Text2VideoRequest(prompt="A fox"), external_task_id="mine").task_id
        for _ in range(2)
    }
    assert len(tasks) == 1
    assert kling.emulator.ledger()["accepted"] == 1


def test_a_lost_answer_is_found_also_without_an_id_of_the_callers(kling: Served) -> None:
    kling.emulator.faults.add("POST", "create", {"kind": "drop", "accepted": True})
    assert KlingHook().submit(Text2VideoRequest(prompt="A fox")).task_id
    assert kling.emulator.ledger()["accepted"] == 1


def test_an_external_id_that_no_path_can_carry_is_refused(kling: Served) -> None:
    with pytest.raises(KlingInputError, match="external_task_id"):
        KlingHook().submit(Text2VideoRequest(prompt="A fox"), external_task_id="a/b")
    assert kling.emulator.ledger()["requests_total"] == 0


def test_on_an_event_loop(kling: Served) -> None:
    task_id = KlingHook().submit(Text2VideoRequest(prompt="A fox")).task_id
    assert asyncio.run(KlingHook().aget_task(task_id)).status is TaskStatus.SUCCEEDED


def test_errors_are_typed(kling: Served) -> None:
    with pytest.raises(KlingTaskNotFoundError):
        KlingHook().get_task("nope")
    kling.emulator.settings.account_state = "exhausted"
    with pytest.raises(KlingAccountError) as error:
        KlingHook().submit(Text2VideoRequest(prompt="A fox"))
    assert error.value.code == 1102


def test_the_model_is_the_requests_else_the_connections_else_the_default(
    kling: Served, connect: Callable[..., None]
) -> None:
    request = Text2VideoRequest(prompt="A fox")
    assert KlingHook().resolve(request).model_name == "kling-v2-6"
    connect(host=kling.url, password="emulator-key", extra={"model_name": "kling-v3"})
    assert KlingHook().resolve(request).model_name == "kling-v3"
    own = Text2VideoRequest(prompt="A fox", model_name="kling-v2-5-turbo")
    assert KlingHook().resolve(own).model_name == "kling-v2-5-turbo"


def test_the_connections_limit_is_an_error(kling: Served, connect: Callable[..., None]) -> None:
    connect(host=kling.url, password="emulator-key", extra={"prompt_max_chars": 3})
    with pytest.raises(KlingInputError, match="4 characters, the connection's prompt_max_chars allows 3"):
        KlingHook().resolve(Text2VideoRequest(prompt="abcd"))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"password": "wrong"}, "^1002: the credentials are not valid"),
        ({"host": "https://kling.invalid"}, "could not be reached"),
        ({"host": "http://127.0.0.1:9"}, "refused"),
        ({"password": ""}, "has no key"),
    ],
)
def test_the_connection_test_tells_what_is_wrong(
    kling: Served, connect: Callable[..., None], fields: dict[str, Any], says: str
) -> None:
    connect(**{"host": kling.url, "password": "emulator-key"} | fields)
    works, message = KlingHook().test_connection()
    assert not works
    assert re.search(says, message), message


def test_the_connection_test_tells_a_wrong_path(kling: Served, connect: Callable[..., None]) -> None:
    connect(host=kling.url.removesuffix("/kling"), password="emulator-key")
    works, message = KlingHook().test_connection()
    assert (works, "does not know this address" in message) == (False, True)


def test_the_connection_test_tells_that_the_clock_is_off(kling: Served, connect: Callable[..., None]) -> None:
    settings = kling.emulator.settings
    settings.access_key, settings.secret_key = "access", "secret-secret-secret-secret-secret!"
    connect(host=kling.url, login="access", password="secret-secret-secret-secret-secret!")
    assert KlingHook().test_connection()[0]
    for offset, says in ((-3600.0, "1003: .*clock is ahead"), (7200.0, "1004: .*clock is behind")):
        settings.clock_offset = offset
        works, message = KlingHook().test_connection()
        assert not works
        assert re.search(says, message), message


def test_the_connection_test_is_free(kling: Served) -> None:
    works, message = KlingHook().test_connection()
    assert (works, message) == (True, f"{kling.url} accepts the credentials.")
    assert kling.emulator.ledger()["accepted"] == 0


def test_a_missing_connection_is_told_as_such() -> None:
    says = "kling_conn_id: there is no connection 'nowhere'. Nothing was bought; create it (type kling)"
    with pytest.raises(KlingNoConnectionError) as error:
        KlingHook("nowhere").get_task("1")
    assert str(error.value).startswith(says)
    assert isinstance(error.value.__cause__, AirflowNotFoundException)
    works, message = KlingHook("nowhere").test_connection()
    assert (works, message) == (False, str(error.value))


def test_a_missing_connection_is_not_hopeless_a_secrets_backend_that_is_away_looks_the_same() -> None:
    with pytest.raises(KlingInputError) as error:
        asyncio.run(KlingHook("nowhere").aget_task("1"))
    assert not error.value.hopeless


def test_a_secrets_backend_serves_as_well(
    kling: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from airflow.models import import_all_models
    from airflow.secrets.local_filesystem import LocalFilesystemBackend

    # This backend makes a database model, and those want each other: a provider may have imported only some.
    import_all_models()
    monkeypatch.delenv("AIRFLOW_CONN_KLING_DEFAULT")
    secrets = tmp_path / "connections.json"
    secrets.write_text(
        json.dumps({"kling_default": {"conn_type": "kling", "host": kling.url, "password": "emulator-key"}})
    )
    backend = LocalFilesystemBackend(connections_file_path=str(secrets))
    connection = backend.get_connection("kling_default")
    monkeypatch.setattr(KlingHook, "get_connection", classmethod(lambda cls, conn_id: connection))
    assert KlingHook().test_connection()[0]
