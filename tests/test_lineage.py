"""Lineage of the files, as Airflow's collector and the OpenLineage provider take it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kling import lineage

SUMMARY: dict[str, Any] = {
    "task_id": "900",
    "videos": [
        {"path": "s3://clips/a/900-1.mp4", "bytes": 10, "sha256": "aa"},
        {"path": "/c/900-2.mp4", "bytes": 20, "sha256": "bb"},
    ],
}


def test_files_are_outputs_for_airflows_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    import airflow.providers.common.compat.lineage.hook as compat

    class Collector:
        uris: list[str]

        def __init__(self) -> None:
            self.uris = []

        def add_output_asset(self, context: Any, uri: str) -> None:
            self.uris.append(uri)

    collector = Collector()
    with monkeypatch.context() as patched:
        patched.setattr(compat, "get_hook_lineage_collector", lambda: collector)
        lineage.collect(object(), ["/c/900.mp4", "s3://clips/900.mp4"])
    assert collector.uris == ["file:///c/900.mp4", "s3://clips/900.mp4"]


def test_airflows_own_collector_takes_them() -> None:
    lineage.collect(object(), ["/c/900.mp4"])


def test_a_collector_in_trouble_is_not_worth_a_video(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import airflow.providers.common.compat.lineage.hook as compat

    monkeypatch.setattr(compat, "get_hook_lineage_collector", lambda: 1 / 0)
    lineage.collect(object(), ["/c/900.mp4"])
    assert "going on" in caplog.text


def test_openlineage_gets_datasets_with_their_sizes_and_klings_id() -> None:
    pytest.importorskip("airflow.providers.openlineage")
    found = lineage.openlineage_facets(SUMMARY)
    assert [(o.namespace, o.name) for o in found.outputs] == [
        ("s3://clips", "a/900-1.mp4"),
        ("file", "/c/900-2.mp4"),
    ]
    assert [o.outputFacets["outputStatistics"].size for o in found.outputs] == [10, 20]
    assert found.run_facets["externalQuery"].externalQueryId == "900"


@pytest.mark.parametrize("summary", [None, {}, {"videos": None}, {"task_id": "1", "videos": [{"url": "x"}]}])
def test_without_files_there_is_no_lineage(summary: Any) -> None:
    assert lineage.openlineage_facets(summary) is None


def test_without_the_openlineage_provider_nothing_is_imported_and_nothing_said() -> None:
    script = (
        "import json, sys\n"
        "sys.modules['airflow.providers.openlineage'] = None\n"
        "sys.modules['openlineage'] = None\n"
        "from airflow_provider_kling import lineage\n"
        "before = 'openlineage.client' in sys.modules\n"
        f"found = lineage.openlineage_facets(json.loads({json.dumps(SUMMARY)!r}))\n"
        "print(json.dumps([before, found]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [False, None]
