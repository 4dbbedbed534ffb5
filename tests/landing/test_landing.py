"""A finished video becomes a file on the team's storage: whole, checked, once."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kling.exceptions import KlingLandingError
from airflow_provider_kling.hooks.kling import KlingHook
from airflow_provider_kling.landing import download
from airflow_provider_kling.landing.landing import Landing
from airflow_provider_kling.landing.stores import DiskStore
from airflow_provider_kling.landing.writers import DiskWriter, temporary_name
from tests.landing.conftest import Kling, Storage, disk


def test_a_video_lands_whole_with_its_hash_beside_it(kling: Kling, storage: Storage) -> None:
    task = kling.task()
    body = kling.body(task)
    landed = kling.land(task, storage.path, storage.conn_id)
    name = f"{task.task_id}.mp4"
    assert landed.path == f"{storage.path.rstrip('/')}/{name}"
    assert (landed.size, landed.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    files = storage.files()
    assert files.pop(name) == body
    (receipt,) = files.values()
    assert receipt.decode().splitlines() == [
        f"# kling task={task.task_id} video=1 watermark=no bytes={len(body)}",
        f"{landed.sha256}  {name}",
    ]
    assert list(files) == [f"{name}.sha256"]
    assert storage.uploads() == 0


def test_sha256sum_understands_the_receipt(kling: Kling, tmp_path: Path) -> None:
    kling.land(kling.task(), str(tmp_path))
    (receipt,) = tmp_path.glob("*.sha256")
    done = subprocess.run(
        ["sha256sum", "-c", receipt.name], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == "OK"


def test_a_retry_finds_the_file_and_downloads_nothing(kling: Kling, storage: Storage) -> None:
    task = kling.task()
    first = kling.land(task, storage.path, storage.conn_id)
    again = kling.land(task, storage.path, storage.conn_id)
    assert (first.fetched, again.fetched) == (True, False)
    assert again.xcom() == first.xcom()
    assert kling.asked("videos") == 1


@pytest.mark.parametrize(
    "fault",
    [
        "cut",
        {"kind": "cut", "at": 0},
        {"kind": "cut", "at": 5},
        "drop",
        "reset",
        {"kind": "status", "status": 503, "retry_after": 7},
        {"kind": "status", "status": 429},
        "wrong_length",
        {"kind": "slow", "bytes_per_second": 500_000},
    ],
    ids=str,
)
def test_an_interrupted_download_goes_on(kling: Kling, storage: Storage, fault: Any) -> None:
    task = kling.task()
    body = kling.body(task)
    kling.served.emulator.faults.add("GET", "video", fault)
    kling.land(task, storage.path, storage.conn_id)
    assert storage.files()[f"{task.task_id}.mp4"] == body
    assert len(storage.files()) == 2
    assert storage.uploads() == 0
    if isinstance(fault, dict) and fault.get("retry_after"):
        assert kling.sleeps == [7.0]


def test_what_came_before_the_break_is_not_fetched_again(
    kling: Kling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = kling.task()
    asked: list[str] = []
    accept = download.Download._accept

    def noted(self: Any, response: Any, pump: Any) -> None:
        asked.append(response.request.headers.get("range", ""))
        accept(self, response, pump)

    monkeypatch.setattr(download.Download, "_accept", noted)
    for at in (1000, 500):
        kling.served.emulator.faults.add("GET", "video", {"kind": "cut", "at": at})
    kling.land(task, str(tmp_path))
    assert asked == ["", "bytes=1000-", "bytes=1500-"]


def test_a_host_without_ranges_sends_it_all_again(kling: Kling, storage: Storage) -> None:
    task = kling.task()
    body = kling.body(task)
    kling.served.emulator.faults.add("GET", "video", "cut")
    kling.served.emulator.faults.add("GET", "video", "no_range", times=None)
    kling.land(task, storage.path, storage.conn_id)
    assert storage.files()[f"{task.task_id}.mp4"] == body
    assert storage.uploads() == 0


@pytest.mark.parametrize("fault", ["expired", "html", {"kind": "wrong_length", "length": 3000}], ids=str)
def test_an_address_that_does_not_work_is_asked_for_afresh_once(
    kling: Kling, storage: Storage, fault: Any
) -> None:
    task = kling.task()
    body, before = kling.body(task), kling.asked("queries")
    kling.served.emulator.faults.add("GET", "video", fault)
    kling.land(task, storage.path, storage.conn_id)
    assert storage.files()[f"{task.task_id}.mp4"] == body
    assert kling.asked("queries") == before + 1


def test_a_signed_address_that_has_expired_is_asked_for_afresh(kling: Kling, tmp_path: Path) -> None:
    kling.served.emulator.settings.url_lifetime = -1.0
    task = kling.task()
    kling.served.emulator.settings.url_lifetime = 60.0
    assert kling.land(task, str(tmp_path)).fetched


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("expired", "HTTP 403"),
        ("html", "not a whole video|begins with b'<html>"),
        ("garbage", "begins with"),
        ("empty", "it is empty"),
        ({"kind": "wrong_length", "length": 3000}, "its last part lacks"),
        ("wrong_length", "attempt 5"),
        ("drop", "attempt 5"),
        ({"kind": "status", "status": 500}, "HTTP 500.*attempt 5"),
        ({"kind": "cut", "at": 0}, "attempt 5"),
    ],
    ids=str,
)
def test_what_can_not_be_had_leaves_nothing_and_says_that_a_retry_buys_nothing(
    kling: Kling, storage: Storage, fault: Any, says: str
) -> None:
    task = kling.task()
    kling.served.emulator.faults.add("GET", "video", fault, times=None)
    with pytest.raises(KlingLandingError, match=says) as error:
        kling.land(task, storage.path, storage.conn_id)
    assert "nothing is bought again" in str(error.value)
    assert not error.value.hopeless
    assert storage.files() == {}
    assert storage.uploads() == 0


def test_a_video_that_kling_has_cleared_says_so_and_uses_up_no_retry(kling: Kling, tmp_path: Path) -> None:
    task = kling.task()
    kling.served.emulator.expire(task.task_id)
    with pytest.raises(KlingLandingError, match="clears them after 30 days") as error:
        kling.land(task, str(tmp_path))
    assert error.value.hopeless


def test_a_task_that_is_known_while_its_video_is_gone_can_not_be_downloaded(
    kling: Kling, tmp_path: Path
) -> None:
    task = kling.task()
    kling.served.emulator.expire(task.task_id, video_only=True)
    with pytest.raises(KlingLandingError, match="HTTP 404"):
        kling.land(task, str(tmp_path))


def test_another_file_of_that_name_is_left_alone(kling: Kling, storage: Storage) -> None:
    task = kling.task()
    name = f"{task.task_id}.mp4"
    storage.put(name, b"mine")
    with pytest.raises(
        KlingLandingError, match=r"not known to be this video. Nothing was overwritten"
    ) as error:
        kling.land(task, storage.path, storage.conn_id)
    assert error.value.hopeless
    assert storage.files() == {name: b"mine"}
    assert kling.asked("videos") == 0


def test_another_file_of_that_name_is_kept_or_replaced_as_asked(kling: Kling, storage: Storage) -> None:
    task = kling.task()
    name = f"{task.task_id}.mp4"
    storage.put(name, b"mine")
    kept = kling.land(task, storage.path, storage.conn_id, overwrite="skip")
    assert (kept.fetched, kept.size, kept.sha256) == (False, 4, hashlib.sha256(b"mine").hexdigest())
    assert storage.files() == {name: b"mine"}
    replaced = kling.land(task, storage.path, storage.conn_id, overwrite="replace")
    assert replaced.fetched
    assert storage.files()[name] == kling.body(task)


def test_a_landed_file_that_was_changed_is_not_taken_for_the_video(kling: Kling, storage: Storage) -> None:
    task = kling.task()
    kling.land(task, storage.path, storage.conn_id)
    name = f"{task.task_id}.mp4"
    storage.put(name, storage.files()[name][:-1] + b"!")
    with pytest.raises(KlingLandingError, match="has changed since"):
        kling.land(task, storage.path, storage.conn_id)


def test_a_receipt_without_its_file_does_not_count(kling: Kling, tmp_path: Path) -> None:
    task = kling.task()
    landed = kling.land(task, str(tmp_path))
    Path(landed.path).unlink()
    assert kling.land(task, str(tmp_path)).fetched


def test_the_watermarked_variant_on_request(kling: Kling, tmp_path: Path) -> None:
    task = kling.task(watermark_info={"enabled": True})
    plain, marked = kling.land(task, str(tmp_path)), kling.land(task, str(tmp_path), watermark=True)
    assert marked.path == str(tmp_path / f"{task.task_id}-watermark.mp4")
    assert plain.sha256 != marked.sha256


def test_without_a_watermarked_variant_the_message_says_what_makes_one(kling: Kling, tmp_path: Path) -> None:
    with pytest.raises(KlingLandingError, match="watermark_info"):
        kling.land(kling.task(), str(tmp_path), watermark=True)


def test_all_videos_of_a_task_are_landed(kling: Kling, storage: Storage) -> None:
    from dataclasses import replace

    task, other = kling.task(), kling.task("A hare")
    task = replace(task, videos=(*task.videos, *other.videos))
    landed = Landing.of(storage.path, storage.conn_id).land(task, kling.hook)
    assert [x.path.rpartition("/")[2] for x in landed] == [f"{task.task_id}-1.mp4", f"{task.task_id}-2.mp4"]
    assert landed[0].sha256 != landed[1].sha256
    assert len(storage.files()) == 4


def test_a_full_disk_leaves_nothing_and_a_retry_lands_it(
    kling: Kling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(DiskWriter):
        """Writes to the device that is always full."""

        def __init__(self, path: str) -> None:
            super().__init__(path)
            self._file.close()
            self._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115

    task = kling.task()
    with monkeypatch.context() as patched:
        patched.setattr(DiskStore, "writer", lambda self, path: Full(path))
        with pytest.raises(KlingLandingError, match="No space left on device") as error:
            kling.land(task, str(tmp_path))
    assert error.value.__cause__.errno == errno.ENOSPC  # type: ignore[union-attr]
    assert not error.value.hopeless
    assert list(tmp_path.iterdir()) == []
    assert kling.land(task, str(tmp_path)).fetched


def test_the_key_never_goes_to_the_video_host(
    kling: Kling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, str]] = []
    handle = kling.served.emulator.handle

    def noted(request: Any, *more: Any) -> Any:
        if request.path.endswith(".mp4"):
            seen.append(dict(request.headers))
        return handle(request, *more)

    monkeypatch.setattr(kling.served.emulator, "handle", noted)
    kling.land(kling.task(), str(tmp_path))
    assert len(seen) == 1
    assert not {"authorization", "cookie"} & set(seen[0])
    assert "emulator-key" not in str(seen)


def test_leftovers_of_killed_attempts_go_when_one_succeeds(kling: Kling, tmp_path: Path) -> None:
    task, storage = kling.task(), disk(tmp_path)
    others = temporary_name("other.mp4")
    storage.put(temporary_name(f"{task.task_id}.mp4"), b"half")
    storage.put(others, b"another's")
    kling.land(task, str(tmp_path))
    assert set(storage.files()) == {f"{task.task_id}.mp4", f"{task.task_id}.mp4.sha256", others}


def test_a_name_that_the_disk_just_takes_is_landed(kling: Kling, tmp_path: Path) -> None:
    stem = "x" * (os.pathconf(tmp_path, "PC_NAME_MAX") - len(".mp4.sha256"))
    assert Path(kling.land(kling.task(), f"{tmp_path}/{stem}.mp4").path).stat().st_size


def test_a_kept_file_is_told_as_such(kling: Kling, tmp_path: Path) -> None:
    task, storage = kling.task(), disk(tmp_path)
    assert "kept" not in kling.land(task, str(tmp_path), overwrite="skip").xcom()
    storage.put(f"{task.task_id}.mp4", b"mine")
    assert kling.land(task, str(tmp_path), overwrite="skip").xcom()["kept"] is True


@pytest.mark.parametrize(
    ("output_path", "conn_id", "says"),
    [
        ("memory://clips/", "gone", "there is no connection 'gone'."),
        ("nonsense://clips/", None, "nothing is installed for nonsense:// paths"),
    ],
)
def test_a_storage_that_is_gone_when_the_video_is_there_leaves_the_retries(
    kling: Kling, output_path: str, conn_id: str | None, says: str
) -> None:
    with pytest.raises(KlingLandingError, match=says) as error:
        Landing.of(output_path, conn_id).land(kling.task(), kling.hook)
    assert "Nothing was bought" not in str(error.value)
    assert "Kling keeps it until" in str(error.value)
    assert "a retry or a clear lands it, nothing is bought again" in str(error.value)
    assert not error.value.hopeless


def test_a_connection_to_kling_that_is_gone_when_the_video_is_there_leaves_the_retries(
    kling: Kling, tmp_path: Path
) -> None:
    with pytest.raises(KlingLandingError, match="nowhere.*Kling keeps it until") as error:
        Landing.of(str(tmp_path)).land(kling.task(), KlingHook("nowhere"))
    assert not error.value.hopeless


def test_a_key_that_is_refused_when_an_expired_address_is_asked_for_afresh_leaves_the_retries(
    kling: Kling, tmp_path: Path, connect: Any
) -> None:
    task = kling.task()
    kling.served.emulator.faults.add("GET", "video", "expired", times=None)
    connect(host=kling.served.url, password="withdrawn")
    with pytest.raises(KlingLandingError, match="1002: the credentials are not valid. Kling keeps") as error:
        Landing.of(str(tmp_path)).land(task, KlingHook(), sleep=kling.sleeps.append)
    assert "will not help" not in str(error.value)
    assert not error.value.hopeless
