"""Land one video in a process of its own, to be measured or killed: ``land_one.py URL PATH [CONN_ID]``.

Prints JSON: bytes, sha256, seconds, and by how many bytes memory rose at its peak.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

if __name__ == "__main__":
    from airflow_provider_kling.api.auth import ApiKeyAuth
    from airflow_provider_kling.api.catalog import TaskKind
    from airflow_provider_kling.api.client import ClientSettings
    from airflow_provider_kling.api.tasks import GenerationTask, TaskStatus, Video
    from airflow_provider_kling.landing.landing import Landing

    url, path, *conn_id = sys.argv[1:]
    task = GenerationTask(
        "task",
        TaskKind.TEXT2VIDEO,
        TaskStatus.SUCCEEDED,
        videos=(Video("v", url),),
        created_at=datetime.now(timezone.utc),
    )
    settings = ClientSettings("http://127.0.0.1:9", ApiKeyAuth("the-key-is-not-used"))
    source: Any = SimpleNamespace(read_connection=lambda: SimpleNamespace(client=settings))
    landing = Landing.of(path, *conn_id)
    # What is imported and opened once belongs to the start.
    landing.check()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    (landed,) = landing.land(task, source)
    print(
        json.dumps(
            {
                "bytes": landed.size,
                "sha256": landed.sha256,
                "fetched": landed.fetched,
                "seconds": time.perf_counter() - started,
                "memory": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024,
            }
        )
    )
