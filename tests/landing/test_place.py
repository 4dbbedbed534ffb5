"""Where a video is to lie: what a path may say, and what is found out before anything is bought."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_kling.exceptions import KlingInputError, KlingOutputError
from airflow_provider_kling.landing.landing import Landing
from airflow_provider_kling.landing.place import Place, uri
from tests.landing.conftest import Storage


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("/data/clips/", Place("file", "/data/clips")),
        ("/data/clips", Place("file", "/data/clips")),
        ("file:///data/clips/", Place("file", "/data/clips")),
        ("local:///data/clips", Place("file", "/data/clips")),
        ("/data/fox.mp4", Place("file", "/data", "fox")),
        ("/fox.MP4", Place("file", "/", "fox")),
        ("/data/fox.mp4/", Place("file", "/data/fox.mp4")),
        ("s3://bucket", Place("s3", "s3://bucket")),
        ("s3://bucket/a/b/", Place("s3", "s3://bucket/a/b")),
        ("S3://bucket/a", Place("s3", "s3://bucket/a")),
        ("s3://aws@bucket/a/", Place("s3", "s3://bucket/a", conn_id="aws")),
        ("s3://bucket/manual__2026-01-01T00:00:00+00:00/-1/", None),
        ("s3://bucket/fox.mp4", Place("s3", "s3://bucket", "fox")),
        (" memory://clips ", Place("memory", "memory://clips")),
    ],
)
def test_a_path_is_a_folder_or_names_a_file(given: str, place: Place | None) -> None:
    found = Place.of(given)
    assert found == (place or Place("s3", given.rstrip("/")))


def test_a_relative_path_is_made_absolute() -> None:
    assert Place.of("clips/").folder == os.path.join(os.getcwd(), "clips")
    assert Place.of("fox.mp4") == Place("file", os.getcwd(), "fox")
    assert Place.of("~/clips").folder == os.path.expanduser("~/clips")


def test_an_object_storage_path_is_taken_as_it_is() -> None:
    assert Place.of(ObjectStoragePath("s3://bucket/a/")).folder == "s3://bucket/a"


def test_a_connection_that_is_named_beside_the_path_goes_first() -> None:
    assert Place.of("s3://aws@bucket/a", "other").conn_id == "other"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "empty"),
        ("", "empty"),
        ("  ", "empty"),
        ("None", "empty"),
        ("/data//clips", "a part of it is empty"),
        ("//data", "a part of it is empty"),
        ("/", "a part of it is empty"),
        ("/data/ /clips", "a part of it is empty"),
        ("s3://bucket//", "a part of it is empty"),
        ("s3:///clips", "a part of it is empty"),
        ("s3://", "a part of it is empty"),
        ("s3://bucket/None/clips", "a part of it is 'None'"),
        ("/data/../clips", "leads upwards"),
        ("s3://bucket/..", "leads upwards"),
        ("/data/{{ run_id }}/", "not rendered"),
        ("/data/a\nb", "control characters"),
        ("/data/.mp4", "no name"),
        ("s3://fox.mp4", "no name"),
    ],
)
def test_a_path_that_was_rendered_to_nonsense_is_refused(given: Any, says: str) -> None:
    with pytest.raises(KlingInputError, match=f"^output_path: .*{says}.*Nothing was bought"):
        Place.of(given)


def test_names_tell_several_videos_apart() -> None:
    place = Place.of("/data")
    assert place.names("900", 1) == ["900.mp4"]
    assert place.names("900", 2) == ["900-1.mp4", "900-2.mp4"]
    assert place.names("900", 1, watermark=True) == ["900-watermark.mp4"]
    assert place.names("../../etc/x y", 1) == [".._.._etc_x_y.mp4"]
    named = Place.of("/data/fox.mp4")
    assert named.names("900", 1, watermark=True) == ["fox.mp4"]
    assert named.names("900", 2) == ["fox-1.mp4", "fox-2.mp4"]
    assert str(named) == "/data/fox.mp4"


def test_a_path_of_this_machine_becomes_a_uri() -> None:
    assert uri("/data/fox.mp4") == "file:///data/fox.mp4"
    assert uri("s3://bucket/fox.mp4") == "s3://bucket/fox.mp4"


def test_the_check_leaves_nothing_behind(storage: Storage) -> None:
    Landing.of(storage.path, storage.conn_id).check()
    assert storage.files() == {}
    assert storage.uploads() == 0


def test_a_file_in_the_way_is_told_before_anything_is_bought(storage: Storage) -> None:
    path = f"{storage.path.rstrip('/')}/fox.mp4"
    Landing.of(path, storage.conn_id).check()
    storage.put("fox.mp4", b"mine")
    with pytest.raises(KlingInputError, match=r"there is a file at .*fox.mp4 already. Nothing was bought"):
        Landing.of(path, storage.conn_id).check()
    Landing.of(path, storage.conn_id, overwrite="skip").check()
    Landing.of(path, storage.conn_id, overwrite="replace").check()


def refused(path: str, conn_id: str | None = None) -> str:
    with pytest.raises(KlingInputError, match="Nothing was bought") as error:
        Landing.of(path, conn_id).check()
    return str(error.value)


def test_a_folder_that_can_not_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert "can't be written to" in refused(str(tmp_path / "file" / "clips"))
    assert "can't be written to" in refused(str(tmp_path / "file"))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert "PermissionError" in refused(str(tmp_path))


def test_a_file_system_that_takes_no_files_is_refused() -> None:
    assert "can't be written to" in refused("/proc/clips") or os.geteuid() != 0


def test_a_bucket_that_does_not_exist_is_refused(s3: Storage) -> None:
    assert "bucket does not exist" in refused("s3://nowhere/clips", "storage")


def test_a_connection_that_does_not_exist_is_refused(s3: Storage) -> None:
    # Amazon's provider would go on with whatever credentials the environment has.
    assert "there is no connection 'nowhere'" in refused(s3.path, "nowhere")
    assert "there is no connection 'nowhere'" in refused("s3://nowhere@clips/a")


def test_a_storage_that_does_not_answer_leaves_the_retries(
    monkeypatch: pytest.MonkeyPatch, s3: Storage
) -> None:
    import json

    connection = json.loads(os.environ["AIRFLOW_CONN_STORAGE"])
    connection["extra"]["endpoint_url"] = "http://127.0.0.1:9"
    connection["extra"]["config_kwargs"] = {"retries": {"total_max_attempts": 1}}
    monkeypatch.setenv("AIRFLOW_CONN_ELSEWHERE", json.dumps(connection))
    with pytest.raises(KlingOutputError, match=r"can't be reached.*Nothing was bought; a retry may succeed"):
        Landing.of("s3://bucket/clips", "elsewhere").check()


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("gs://bucket/a", r"pip install 'airflow-provider-kling\[gcs\]'"),
        ("abfs://container@account/a", "there is no connection 'container'|airflow-provider-kling"),
        ("nonsense://x/y", "nothing is installed for nonsense:// paths"),
    ],
)
def test_a_storage_that_nothing_is_installed_for_says_what_to_install(path: str, says: str) -> None:
    with pytest.raises(KlingInputError, match=says):
        Landing.of(path).check()


def test_an_unknown_way_to_overwrite_is_refused() -> None:
    with pytest.raises(KlingInputError, match="overwrite: 'maybe' is not one of error, skip, replace"):
        Landing.of("/data", overwrite="maybe")
