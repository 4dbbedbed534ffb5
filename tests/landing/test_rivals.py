"""Two that land at one path: a zombie and its successor, or two tasks; and commits that fail."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kling.api.tasks import GenerationTask
from airflow_provider_kling.exceptions import KlingLandingError
from airflow_provider_kling.landing.clip import Landed
from airflow_provider_kling.landing.landing import Landing
from airflow_provider_kling.landing.stores import DiskStore, ObjectStore
from airflow_provider_kling.landing.writers import DiskWriter, Writer
from tests.landing.conftest import Kling, Storage, disk

Meanwhile = Callable[[], object]


class Overtaken:
    """A writer that something else overtakes: just before it is committed, or after it has begun."""

    def __init__(self, inner: Writer, before_commit: Meanwhile) -> None:
        self._inner = inner
        self._before_commit = before_commit

    def commit(self, **how: Any) -> None:
        self._before_commit()
        self._inner.commit(**how)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.fixture
def overtake(monkeypatch: pytest.MonkeyPatch) -> Callable[[Meanwhile], None]:
    """Of the next landing's video, do something else before the commit, once."""

    def prepare(meanwhile: Meanwhile) -> None:
        for kind in (DiskStore, ObjectStore):
            begin = kind.writer
            waiting = [meanwhile]

            def writer(self: Any, path: str, begin: Any = begin, waiting: Any = waiting) -> Any:
                inner = begin(self, path)
                if path.endswith(".mp4") and waiting:
                    return Overtaken(inner, waiting.pop())
                return inner

            monkeypatch.setattr(kind, "writer", writer)

    return prepare


def fail() -> None:
    raise OSError(errno.EIO, "the storage broke")


def verified(folder: Path) -> str:
    """What ``sha256sum`` says of the one receipt in a folder."""
    (receipt,) = folder.glob("*.sha256")
    command = ["sha256sum", "-c", receipt.name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.split()[-1]


@pytest.mark.parametrize("overwrite", ["error", "skip", "replace"])
def test_a_zombie_and_its_successor_both_end_well(
    kling: Kling, tmp_path: Path, overtake: Callable[[Meanwhile], None], overwrite: str
) -> None:
    task, path = kling.task(), str(tmp_path / "fox.mp4")
    landed: list[Landed] = []
    overtake(lambda: landed.append(kling.land(task, path, overwrite=overwrite)))
    landed.append(kling.land(task, path, overwrite=overwrite))
    zombie, successor = landed
    assert zombie.fetched
    assert successor.sha256 == zombie.sha256
    assert not successor.kept
    assert set(disk(tmp_path).files()) == {"fox.mp4", "fox.mp4.sha256"}
    assert verified(tmp_path) == "OK"


def test_a_zombie_that_was_faster_is_noticed_when_the_download_is_done(
    kling: Kling, storage: Storage
) -> None:
    task, path = kling.task(), storage.path.rstrip("/") + "/fox.mp4"
    landed: list[Landed] = []

    class Slow(type(kling.hook)):  # type: ignore[misc]
        """Asked for a fresh address, it takes so long that a zombie lands the video."""

        def get_task(self, *arguments: Any, **named: Any) -> GenerationTask:
            landed.append(kling.land(task, path, storage.conn_id))
            return super().get_task(*arguments, **named)  # type: ignore[no-any-return]

    kling.served.emulator.faults.add("GET", "video", "expired")
    (successor,) = Landing.of(path, storage.conn_id).land(task, Slow())
    (zombie,) = landed
    assert (zombie.fetched, successor.fetched) == (True, False)
    assert successor.xcom() == zombie.xcom()
    assert set(storage.files()) == {"fox.mp4", "fox.mp4.sha256"}
    assert storage.uploads() == 0


def test_of_two_videos_with_one_name_the_first_stays_with_its_receipt(
    kling: Kling, tmp_path: Path, overtake: Callable[[Meanwhile], None]
) -> None:
    fox, hare, path = kling.task(), kling.task("A hare"), str(tmp_path / "clip.mp4")
    overtake(lambda: kling.land(hare, path))
    with pytest.raises(KlingLandingError, match="not known to be this video. Nothing was overwritten") as e:
        kling.land(fox, path)
    assert e.value.hopeless
    assert disk(tmp_path).files()["clip.mp4"] == kling.body(hare)
    assert set(disk(tmp_path).files()) == {"clip.mp4", "clip.mp4.sha256"}
    assert verified(tmp_path) == "OK"
    assert not kling.land(hare, path).fetched


def test_with_skip_the_first_of_two_is_kept(
    kling: Kling, tmp_path: Path, overtake: Callable[[Meanwhile], None]
) -> None:
    fox, hare, path = kling.task(), kling.task("A hare"), str(tmp_path / "clip.mp4")
    overtake(lambda: kling.land(hare, path))
    assert kling.land(fox, path, overwrite="skip").kept
    assert disk(tmp_path).files()["clip.mp4"] == kling.body(hare)
    assert verified(tmp_path) == "OK"


def test_what_a_living_attempt_writes_is_not_taken_for_a_leftover(
    kling: Kling, tmp_path: Path, overtake: Callable[[Meanwhile], None]
) -> None:
    fox, hare, path = kling.task(), kling.task("A hare"), str(tmp_path / "clip.mp4")
    overtake(lambda: kling.land(hare, path, overwrite="replace"))
    assert kling.land(fox, path, overwrite="replace").fetched
    assert disk(tmp_path).files()["clip.mp4"] == kling.body(fox)
    assert verified(tmp_path) == "OK"


def test_without_locks_a_leftover_stays(
    kling: Kling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_kling.landing import writers

    def unsupported(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "no locks here")

    task = kling.task()
    left = writers.temporary_name(f"{task.task_id}.mp4")
    disk(tmp_path).put(left, b"half")
    monkeypatch.setattr(writers.fcntl, "flock", unsupported)
    assert kling.land(task, str(tmp_path)).fetched
    assert left in disk(tmp_path).files()


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK])
def test_a_drive_without_hard_links_is_landed_on_and_keeps_what_is_there(
    kling: Kling,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    overtake: Callable[[Meanwhile], None],
    code: int,
) -> None:
    def unsupported(*_: Any) -> None:
        raise OSError(code, "no hard links here")

    monkeypatch.setattr(os, "link", unsupported)
    fox, path = kling.task(), str(tmp_path / "clip.mp4")
    assert kling.land(fox, path).fetched
    other = str(tmp_path / "other.mp4")
    overtake(lambda: Path(other).write_bytes(b"mine"))
    with pytest.raises(KlingLandingError, match="Nothing was overwritten"):
        kling.land(fox, other)
    assert set(disk(tmp_path).files()) == {"clip.mp4", "clip.mp4.sha256", "other.mp4"}


def test_a_link_that_leads_nowhere_is_not_in_the_way(kling: Kling, tmp_path: Path) -> None:
    (tmp_path / "latest.mp4").symlink_to(tmp_path / "gone.mp4")
    assert kling.land(kling.task(), str(tmp_path / "latest.mp4")).fetched
    assert (tmp_path / "latest.mp4").stat().st_size


def test_a_commit_that_fails_leaves_the_file_that_was_to_be_replaced_with_its_receipt(
    kling: Kling, storage: Storage, overtake: Callable[[Meanwhile], None]
) -> None:
    old, new, path = kling.task(), kling.task("A hare"), storage.path.rstrip("/") + "/clip.mp4"
    kling.land(old, path, storage.conn_id)
    before = storage.files()
    overtake(fail)
    with pytest.raises(KlingLandingError, match="the storage broke"):
        kling.land(new, path, storage.conn_id, overwrite="replace")
    assert storage.files() == before
    assert storage.uploads() == 0
    assert not kling.land(old, path, storage.conn_id).fetched
    assert kling.land(new, path, storage.conn_id, overwrite="replace").fetched


def test_a_commit_that_fails_leaves_no_receipt_where_there_was_none(
    kling: Kling, storage: Storage, overtake: Callable[[Meanwhile], None]
) -> None:
    overtake(fail)
    with pytest.raises(KlingLandingError, match="the storage broke.*nothing is bought again"):
        kling.land(kling.task(), storage.path, storage.conn_id)
    assert storage.files() == {}
    assert storage.uploads() == 0


def test_a_commit_that_was_done_though_its_answer_was_lost_is_a_success(
    kling: Kling, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind: Any = ObjectStore if "://" in storage.path else DiskStore
    begin = kind.writer

    class Lost(Overtaken):
        def commit(self, **how: Any) -> None:
            self._inner.commit(**how)
            fail()

    monkeypatch.setattr(
        kind,
        "writer",
        lambda self, path: Lost(begin(self, path), fail) if path.endswith(".mp4") else begin(self, path),
    )
    task = kling.task()
    landed = kling.land(task, storage.path, storage.conn_id)
    assert storage.files()[f"{task.task_id}.mp4"] == kling.body(task)
    # With its receipt: a retry knows it.
    assert kling.land(task, storage.path, storage.conn_id) == landed


def test_a_lock_goes_with_the_process_that_holds_it(tmp_path: Path) -> None:
    path = str(tmp_path / "fox.mp4")
    living, other = DiskWriter(path), DiskWriter(path)
    other.commit()
    assert len(list(tmp_path.glob(".kling-*.part"))) == 1
    living._file.close()
    DiskWriter(path).commit()
    assert list(tmp_path.glob(".kling-*.part")) == []
