"""Where the files of a task come from, told to whoever collects lineage: Airflow's hooks, OpenLineage."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_kling.landing.place import uri

log = logging.getLogger(__name__)


def collect(operator: Any, paths: Iterable[str]) -> None:
    """Name the files as outputs. Does nothing where nobody listens."""
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

    try:
        collector = get_hook_lineage_collector()
        for path in paths:
            collector.add_output_asset(context=operator, uri=uri(path))
    except Exception as e:
        # Never worth a video.
        log.warning("Could not record the lineage, going on: %s", e)


def openlineage_facets(summary: Mapping[str, Any] | None) -> Any:
    """``OperatorLineage`` of a finished task: its files as outputs, and Kling's id of it.

    :param summary: as the operator returned it.
    :return: ``None`` without the OpenLineage provider, or where nothing was landed.
    """
    videos = (summary or {}).get("videos") or []
    # A file that was kept in a video's place is not what the task made.
    landed = [video for video in videos if video.get("path") and not video.get("kept")]
    if summary is None or not landed:
        return None
    try:
        from airflow.providers.common.compat.openlineage.facet import (
            ExternalQueryRunFacet,
            OutputDataset,
            OutputStatisticsOutputDatasetFacet,
        )
        from airflow.providers.openlineage.extractors import OperatorLineage
    except ImportError:
        return None

    outputs = []
    for video in landed:
        namespace, name = dataset_of(video["path"])
        statistics = OutputStatisticsOutputDatasetFacet(size=video["bytes"], fileCount=1)
        outputs.append(
            OutputDataset(namespace=namespace, name=name, outputFacets={"outputStatistics": statistics})
        )
    return OperatorLineage(
        outputs=outputs,
        run_facets={
            "externalQuery": ExternalQueryRunFacet(externalQueryId=summary["task_id"], source="kling")
        },
    )


def dataset_of(path: str) -> tuple[str, str]:
    """OpenLineage's namespace and name: ``s3://bucket`` and ``key``, or ``file`` and a path."""
    if "://" not in path:
        return "file", path
    parts = urlsplit(path)
    return f"{parts.scheme}://{parts.netloc}", parts.path.lstrip("/")
