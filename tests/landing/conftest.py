"""Storages to land in, each as real as it gets here: a folder, S3 over HTTP, and fsspec's memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kling.api.tasks import GenerationTask
from airflow_provider_kling.hooks.kling import KlingHook
from airflow_provider_kling.landing.landing import Landed, Landing
from tests.emulator_fixtures import Served
from tests.object_storage import s3_client, s3_connection, serving_s3


@dataclass
class Storage:
    """A storage, and what lies in it: ``files`` gives names and bytes below ``path``."""

    path: str
    conn_id: str | None
    files: Callable[[], dict[str, bytes]]
    put: Callable[[str, bytes], None]
    uploads: Callable[[], int] = lambda: 0


def disk(folder: Path) -> Storage:
    def files() -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in folder.iterdir()} if folder.exists() else {}

    def put(name: str, data: bytes) -> None:
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)

    return Storage(str(folder), None, files, put)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3 of one's own, behind a real socket."""
    with serving_s3() as url:
        yield url


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Storage:
    """A bucket, and an Airflow connection to it."""
    monkeypatch.setenv("AIRFLOW_CONN_STORAGE", s3_connection(s3_endpoint))
    client = s3_client(s3_endpoint)
    bucket = "clips"
    client.create_bucket(Bucket=bucket)
    prefix = f"{abs(hash(request.node.nodeid)):x}/"

    def files() -> dict[str, bytes]:
        listed = client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        return {
            o["Key"].removeprefix(prefix): client.get_object(Bucket=bucket, Key=o["Key"])["Body"].read()
            for o in listed
        }

    def uploads() -> int:
        found = client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        return sum(upload["Key"].startswith(prefix) for upload in found)

    def put(name: str, data: bytes) -> None:
        client.put_object(Bucket=bucket, Key=prefix + name, Body=data)

    return Storage(f"s3://{bucket}/{prefix}", "storage", files, put, uploads)


@pytest.fixture
def memory() -> Iterator[Storage]:
    from fsspec.implementations.memory import MemoryFileSystem

    fs = MemoryFileSystem()

    def files() -> dict[str, bytes]:
        return {path.removeprefix("/clips/"): fs.cat_file(path) for path in list(fs.store)}

    def put(name: str, data: bytes) -> None:
        fs.pipe_file(f"/clips/{name}", data)

    yield Storage("memory://clips", None, files, put)
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


@pytest.fixture(params=["disk", "s3", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "disk":
        return disk(tmp_path / "clips")
    found: Storage = request.getfixturevalue(request.param)
    return found


@dataclass
class Kling:
    """An emulated account with one finished video."""

    served: Served
    hook: KlingHook
    sleeps: list[float] = field(default_factory=list)

    def task(self, prompt: str = "A fox", **body: Any) -> GenerationTask:
        made = self.served.emulator.add_task(prompt, **body)
        return self.hook.get_task(made.task_id)

    def land(self, task: GenerationTask, output_path: str, conn_id: str | None = None, **how: Any) -> Landed:
        landing = Landing.of(output_path, conn_id, **how)
        landing.check()
        (landed,) = landing.land(task, self.hook, sleep=self.sleeps.append)
        return landed

    def asked(self, what: str) -> int:
        """Requests so far: ``videos`` or ``queries``."""
        label = {"videos": "GET /videos/{id}", "queries": "GET /v1/videos/text2video/{id}"}[what]
        return int(self.served.emulator.ledger()["requests"].get(label, 0))

    def body(self, task: GenerationTask) -> bytes:
        import httpx

        return httpx.get(task.videos[0].url).content


@pytest.fixture
def kling(emulator_server: Served, connect: Callable[..., None]) -> Kling:
    connect(host=emulator_server.url, password="emulator-key")
    return Kling(emulator_server, KlingHook())
