"""Row 10 in a real Airflow: the video is there and paid for, and whoever fetches it is killed."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from demo.airflow_api import Run
from demo.processes import wait_for
from tests.chaos.stage import PATIENCE, Scenario, Stage
from tests.object_storage import s3_client

#: How often the download is killed.
KILLS = 2


def killed_in_the_download(way: str) -> Scenario:
    """Row 10, to a disk (``plain``, ``deferred``) or to ``s3``."""

    def play(stage: Stage) -> None:
        dag_id = f"download_{way}"
        run = stage.start(dag_id)
        (create,) = wait_for(lambda: stage.creates(dag_id), f"the create of {dag_id}", PATIENCE)
        stage.plan_slow_downloads(create["task_id"], KILLS)
        for kill in range(1, KILLS + 1):
            stage.until_downloading(create["task_id"], left=KILLS - kill)
            stage.kill_task(run, tries=kill)
            # Nothing that a reader would take for the video, not even a part of it.
            assert {name for name in _files(stage, run) if not name.endswith(".part")} == set()
        stage.until(run, "success", tries=KILLS + 1)
        stage.until_log(run, "Adopted: task", "nothing bought.", "Landed: video 1 of task")
        measured = replace(stage.measure(run), delivered=_landed(stage, run))
        assert (measured.sent, measured.accepted, measured.delivered) == (1, 1, True)
        stage.report.add("10.download", measured)

    return play


def _files(stage: Stage, run: Run) -> dict[str, bytes]:
    """What lies where the run's video goes."""
    if run.dag_id != "download_s3":
        folder = stage.folder / run.dag_id / run.run_id
        return {path.name: path.read_bytes() for path in folder.glob("*")}
    client = s3_client(stage.s3)
    prefix = f"{run.dag_id}/{run.run_id}/"
    listed = client.list_objects_v2(Bucket="clips", Prefix=prefix).get("Contents", [])
    return {
        entry["Key"].removeprefix(prefix): client.get_object(Bucket="clips", Key=entry["Key"])["Body"].read()
        for entry in listed
    }


def _landed(stage: Stage, run: Run) -> bool:
    """Whether the file that the task's result names is the whole video, and nothing else is left."""
    (video,) = stage.airflow.xcom(run, "make")["videos"]
    name = str(video["path"]).rpartition("/")[2]
    files = _files(stage, run)
    body = files[name]
    assert set(files) == {name, f"{name}.sha256"}
    assert (len(body), hashlib.sha256(body).hexdigest()) == (video["bytes"], video["sha256"])
    return body[4:8] == b"ftyp"


DOWNLOADS: dict[str, Scenario] = {
    f"worker killed in the middle of the download, {way}": killed_in_the_download(way)
    for way in ("plain", "deferred", "s3")
}
