"""What the README shows is what runs."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from pathlib import Path

import airflow
import pytest
from airflow.providers.common.compat.sdk import Connection
from packaging.version import Version

from airflow_provider_kling.api.catalog import DEFAULT_MODEL
from airflow_provider_kling.get_provider_info import CONNECTION_FIELDS
from airflow_provider_kling.hooks.connection import KlingConnection
from airflow_provider_kling.operators.text2video import KlingText2VideoOperator
from tests.fakes import RESULT_KEYS

README = (Path(__file__).parents[1] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def section(title: str) -> str:
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def first_cells(text: str) -> set[str]:
    cells = re.findall(r"^\| ([^|]+)\|", text, flags=re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


@pytest.mark.skipif(Version("3.0") > Version(airflow.__version__), reason="the README imports airflow.sdk")
def test_the_ten_line_dag_parses() -> None:
    example = blocks("python")[0]
    assert len(example.strip().splitlines()) <= 13
    scope: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), scope)
    from airflow.sdk import DAG

    assert scope["DAG"] is DAG


def test_each_form_of_the_connection_is_read_as_it_says() -> None:
    lines = [line for line in "".join(blocks("bash")).splitlines() if "AIRFLOW_CONN_KLING_DEFAULT" in line]
    read = []
    for line in lines:
        value = (
            shlex.split(line)[1].split("=", 1)[1].replace("<", "").replace(">", "").replace(" key", "-key")
        )
        if value.startswith("{"):
            fields = json.loads(value)
            connection = Connection(conn_id="kling_default", **fields)
        elif hasattr(Connection, "from_uri"):
            connection = Connection.from_uri(value, conn_id="kling_default")
        else:
            connection = Connection(conn_id="kling_default", uri=value)
        made = KlingConnection.read(connection)
        read.append((type(made.client.auth).__name__, made.client.base_url))
    assert read == [
        ("ApiKeyAuth", "https://api-singapore.klingai.com"),
        ("AccessKeyAuth", "https://api-singapore.klingai.com"),
        ("ApiKeyAuth", "https://relay.example/kling"),
        ("ApiKeyAuth", "https://relay.example/kling"),
    ]


def test_every_argument_of_the_operator_is_in_its_table_and_nothing_else() -> None:
    arguments = set(inspect.signature(KlingText2VideoOperator.__init__).parameters) - {"self", "kwargs"}
    table = section("Operator")
    assert first_cells(table) == arguments


def test_every_extra_of_the_connection_is_in_its_table() -> None:
    assert first_cells(section("Connection")) == set(CONNECTION_FIELDS)


def test_every_key_of_the_result_is_in_its_table() -> None:
    assert first_cells(section("Use it")) >= RESULT_KEYS


def test_the_default_model_is_the_one_that_is_named() -> None:
    assert f"`{DEFAULT_MODEL}`" in section("Operator")
    assert f"without it `{DEFAULT_MODEL}`" in section("Connection")
