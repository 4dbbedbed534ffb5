"""What Airflow discovers of the package, and what a DAG file pays for importing it."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest
from packaging.version import Version

from airflow_provider_kling.get_provider_info import get_provider_info
from airflow_provider_kling.hooks.kling import KlingHook

AIRFLOW = Version(airflow.__version__)
ROOT = Path(__file__).parents[1]


def test_the_provider_info_passes_airflows_own_schema() -> None:
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_the_link_in_the_description_is_the_last_thing_in_it() -> None:
    # Airflow's page of providers takes all that follows for a part of the address.
    assert re.fullmatch(r"Kling [^`<]+ `Kling API <https://\S+>`__", get_provider_info()["description"])


def test_the_entry_point_names_the_distribution() -> None:
    (found,) = (
        e
        for e in entry_points(group="apache_airflow_provider")
        if e.module.startswith("airflow_provider_kling")
    )
    assert found.load()()["package-name"] == "airflow-provider-kling" == found.dist.name


def test_every_module_and_class_that_is_announced_exists() -> None:
    info = get_provider_info()
    for part in ("operators", "sensors", "hooks", "triggers"):
        for module in info[part][0]["python-modules"]:
            importlib.import_module(module)
    for path in [info["connection-types"][0]["hook-class-name"], *info["extra-links"]]:
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name)


def test_airflow_finds_the_hook_and_its_form() -> None:
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    assert "airflow-provider-kling" in manager.providers
    hooks: Any = manager
    if Version("3.2") <= AIRFLOW:
        from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

        hooks = ProvidersManagerTaskRuntime()
    assert hooks.hooks["kling"].hook_class_name == "airflow_provider_kling.hooks.kling.KlingHook"
    assert "airflow_provider_kling.links.KlingVideoLink" in manager.extra_links_class_names


@pytest.mark.skipif(Version("3.2") > AIRFLOW, reason="the form comes from provider info since Airflow 3.2")
def test_the_form_of_the_api_server_has_our_fields() -> None:
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    (kling,) = (meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "kling")
    assert kling.hook_name == "Kling"
    assert set(kling.extra_fields) == {
        "model_name",
        "prompt_max_chars",
        "negative_prompt_max_chars",
        "max_concurrency",
        "max_qps",
        "external_task_ids",
        "timeout",
        "proxy",
        "verify",
    }
    assert kling.extra_fields["external_task_ids"]["schema"]["type"] == ["boolean", "null"]


def test_older_airflows_get_the_same_form_from_the_class() -> None:
    assert KlingHook.get_ui_field_behaviour()["relabeling"]["password"] == "API key or SecretKey"


@pytest.mark.skipif(Version("3.0") <= AIRFLOW, reason="Airflow 3 has no Flask-AppBuilder widgets")
def test_the_widgets_of_older_airflows() -> None:
    assert "model_name" in KlingHook.get_connection_form_widgets()


def fresh(code: str) -> Any:
    """Run code in an interpreter of its own; it prints JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_parsing_a_dag_with_the_operator_imports_no_http_client() -> None:
    loaded = fresh(
        "import sys, json\n"
        "import airflow.providers.common.compat.sdk as sdk\n"
        "sdk.BaseOperator, sdk.BaseSensorOperator, sdk.BaseOperatorLink, sdk.XCom\n"
        "import airflow.triggers.base\n"
        "before = set(sys.modules)\n"
        "import airflow_provider_kling.operators.text2video, airflow_provider_kling.sensors.task\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    unwanted = {
        "httpx",
        "jwt",
        "ssl",
        "airflow_provider_kling.emulator",
        "airflow_provider_kling.hooks.kling",
    }
    assert not unwanted & set(loaded)
    assert "airflow_provider_kling.operators.text2video" in loaded
    assert not [name for name in loaded if name.startswith("airflow_provider_kling.api")]


def test_the_api_works_without_airflow() -> None:
    loaded = fresh(
        "import sys, json\n"
        "import airflow_provider_kling.api.client, airflow_provider_kling.api.submission\n"
        "import airflow_provider_kling.api.requests, airflow_provider_kling.identity\n"
        "print(json.dumps(sorted(n for n in sys.modules if n == 'airflow' or n.startswith('airflow.'))))"
    )
    assert loaded == []


def test_the_command_line_shows_the_provider(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "providers", "get", "airflow-provider-kling", "--output", "json"],
        capture_output=True,
        text=True,
        check=True,
        env={"AIRFLOW_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        timeout=120,
    )
    assert '"airflow-provider-kling"' in done.stdout
