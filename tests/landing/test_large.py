"""Videos larger than memory should bear, and attempts that are killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.landing.conftest import Storage
from tests.landing.video_host import VideoHost, serving, sha256
from tests.object_storage import s3_connection

ROOT = Path(__file__).parents[2]
MB = 2**20


def start(url: str, path: str, *conn_id: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.landing.land_one", url, path, *conn_id],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def test_two_gigabytes_take_less_than_a_hundred_megabytes_of_memory(tmp_path: Path) -> None:
    size = 2 * 10**9
    # One break in the middle: taking it up again must not cost memory either.
    with serving(VideoHost(size, breaks=[size // 3])) as host:
        result = finish(start(host.url, str(tmp_path)))
    assert (result["bytes"], result["sha256"]) == (size, sha256(size))
    assert (tmp_path / "task.mp4").stat().st_size == size
    assert host.ranges == ["", host.ranges[1]]
    assert int(host.ranges[1].removesuffix("-")) > 0
    assert result["memory"] < 100 * MB
    (tmp_path / "task.mp4").unlink()


def test_a_large_object_takes_little_memory_too(s3: Storage, s3_endpoint: str) -> None:
    size = 150 * MB
    with serving(VideoHost(size, breaks=[40 * MB])) as host:
        environment = {"AIRFLOW_CONN_STORAGE": s3_connection(s3_endpoint)}
        result = finish(start(host.url, s3.path, "storage", **environment))
    assert (result["bytes"], result["sha256"]) == (size, sha256(size))
    assert len(s3.files()["task.mp4"]) == size
    assert result["memory"] < 100 * MB
    assert s3.uploads() == 0


@pytest.mark.parametrize("storage", ["disk", "s3"], indirect=True)
def test_killed_twice_in_the_middle_leaves_no_half_file_and_the_third_try_lands_it(
    storage: Storage, s3_endpoint: str
) -> None:
    size = 40 * MB
    environment = {"AIRFLOW_CONN_STORAGE": s3_connection(s3_endpoint)}
    where = [storage.path, *([storage.conn_id] if storage.conn_id else [])]
    for _ in range(2):
        with serving(VideoHost(size, stall_at=30 * MB)) as host:
            process = start(host.url, *where, **environment)
            assert host.stalled.wait(60)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert {name for name in storage.files() if not name.endswith(".part")} == set()
    with serving(VideoHost(size)) as host:
        result = finish(start(host.url, *where, **environment))
        again = finish(start(host.url, *where, **environment))
    assert (result["fetched"], result["sha256"]) == (True, sha256(size))
    assert (again["fetched"], again["sha256"]) == (False, sha256(size))
    assert host.ranges == [""]
    assert set(storage.files()) == {"task.mp4", "task.mp4.sha256"}
