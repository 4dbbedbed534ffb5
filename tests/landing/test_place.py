"""Where a video is to lie: what a path may say, and what is found out before anything is bought."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, ObjectStoragePath
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_kling.exceptions import KlingInputError, KlingOutputError
from airflow_provider_kling.landing.landing import Landing, NothingToBuyError
from airflow_provider_kling.landing.place import Place, uri
from tests.emulator_fixtures import Served
from tests.fakes import FakeTaskInstance, context_of
from tests.landing.conftest import Storage
from tests.operators.running import bought, make, posts


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("/data/clips/", Place("file", "/data/clips")),
        ("/data/clips", Place("file", "/data/clips")),
        ("file:///data/clips/", Place("file", "/data/clips")),
        ("local:///data/clips", Place("file", "/data/clips")),
        ("file://localhost/data/clips", Place("file", "/data/clips")),
        ("file://conn@/data/fox.mp4", Place("file", "/data", "fox", conn_id="conn")),
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
        ("/data/None.mp4", "the name is 'None'"),
        ("s3://bucket/None.mp4", "the name is 'None'"),
        ("file://data/clips", "file:///data/… names a folder"),
        ("file://data", "file:///data/… names a folder"),
        ("file://localhost", "a part of it is empty"),
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


@pytest.mark.parametrize("name", ["fox.mp4", "fox-1.mp4"])
def test_a_name_that_is_taken_is_told_when_a_video_is_about_to_be_bought(storage: Storage, name: str) -> None:
    path = f"{storage.path.rstrip('/')}/fox.mp4"

    def landing(overwrite: str = "error", path: str = path) -> Landing:
        return Landing.of(path, storage.conn_id, overwrite)

    landing().check_free()
    storage.put(name, b"mine")
    with pytest.raises(KlingInputError, match=rf"there is a file at .*{name} already. Nothing was bought"):
        landing().check_free()
    with pytest.raises(NothingToBuyError, match="Nothing was bought, the task is skipped"):
        landing("skip").check_free()
    landing("replace").check_free()
    # In a folder no name is known yet; and a retry, which may find its own file, is not stopped earlier.
    landing(path=storage.path).check_free()
    landing().check()


class BlindFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """Takes what is written, and lets nobody look: as S3 with ``PutObject`` and nothing else."""

    protocol = "blind"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    def info(self, path: str, **_: Any) -> Any:
        raise PermissionError("Forbidden")


@pytest.fixture
def blind() -> str:
    fsspec.register_implementation("blind", BlindFileSystem, clobber=True)
    BlindFileSystem.store.clear()
    return "blind://clips"


@pytest.mark.filterwarnings("ignore:UPath 'blind' filesystem not explicitly implemented")
def test_a_storage_that_may_be_written_to_and_not_looked_at_is_refused(blind: str) -> None:
    assert "PermissionError: Forbidden" in refused(blind)
    assert BlindFileSystem.store == {}


@pytest.mark.filterwarnings("ignore:UPath 'blind' filesystem not explicitly implemented")
def test_nothing_is_bought_for_a_storage_that_may_not_be_looked_at(
    blind: str, emulator_server: Served, connect: Callable[..., None], ti: FakeTaskInstance
) -> None:
    connect(host=emulator_server.url, password="emulator-key")
    with pytest.raises(AirflowFailException, match="Nothing was bought"):
        make(output_path=blind).execute(context_of(ti))
    assert (bought(emulator_server), posts(emulator_server)) == (0, 0)


def test_a_name_too_long_for_the_disk_is_refused(tmp_path: Path) -> None:
    longest = os.pathconf(tmp_path, "PC_NAME_MAX")
    fits = "x" * (longest - len(".mp4.sha256"))
    Landing.of(f"{tmp_path}/{fits}.mp4").check()
    # The video would have room, what lies beside it would not.
    assert "File name too long" in refused(f"{tmp_path}/{fits}x.mp4")
    assert "File name too long" in refused(f"{tmp_path}/{'x' * longest}.mp4")


@pytest.mark.parametrize("name", ["fox.mp4", "fox.mp4.sha256"])
@pytest.mark.parametrize("overwrite", ["error", "skip", "replace"])
def test_a_directory_of_that_name_is_refused(tmp_path: Path, name: str, overwrite: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(KlingInputError, match="IsADirectoryError.*Nothing was bought.*another name"):
        Landing.of(str(tmp_path / "fox.mp4"), overwrite=overwrite).check()


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


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc here")
def test_a_file_system_that_takes_no_files_is_refused() -> None:
    assert "can't be written to" in refused("/proc/clips")


def test_a_bucket_that_does_not_exist_is_refused(s3: Storage) -> None:
    assert "bucket does not exist" in refused("s3://nowhere/clips", "storage")


def test_a_connection_that_does_not_exist_is_refused(s3: Storage) -> None:
    # Amazon's provider would go on with whatever credentials the environment has.
    assert "there is no connection 'nowhere'" in refused(s3.path, "nowhere")
    assert "there is no connection 'nowhere'" in refused("s3://nowhere@clips/a")


def test_a_connection_that_does_not_exist_is_refused_for_a_path_of_this_machine_too(tmp_path: Path) -> None:
    assert "there is no connection 'nowhere'" in refused(str(tmp_path), "nowhere")


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
