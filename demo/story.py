"""What ``make demo`` shows: three prompts become three video files, in a real Airflow, deferred."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from demo.airflow_api import FINAL_STATES, Run
from demo.local_airflow import LocalAirflow
from demo.local_emulator import LocalEmulator

DAG_ID = "kling_prompt_table"
TASK_ID = "make_video"

PROMPTS = (
    {"prompt": "A fox crossing a frozen lake at sunrise", "aspect_ratio": "16:9"},
    {"prompt": "A lighthouse in a storm, waves breaking", "aspect_ratio": "9:16"},
    {"prompt": "A paper boat drifting down a rainy street", "aspect_ratio": "1:1"},
)

#: What a state means to somebody who waits for a video.
_MEANING = {
    "queued": "waits for a worker",
    "running": "a worker orders it",
    "deferred": "Kling makes it; no worker is held",
    "running again": "a worker takes the result",
    "up_for_retry": "will be tried again",
    "success": "it is there",
}

#: Seconds that the run may take. It takes about 30.
RUN_TIMEOUT = 240.0


class DemoFailed(RuntimeError):
    """The demo did not come out as it must."""


def play(airflow: LocalAirflow, emulator: LocalEmulator, output: Path, say: Callable[[str], None]) -> Run:
    """Run the DAG, which lands the clips, follow it, and check all of it against the emulator's ledger.

    :param output: folder for the clips.
    :param say: prints a line.
    :raises DemoFailed: if anything is not as shown.
    """
    airflow.wait_for_dag(DAG_ID)
    places = [output / f"{n}-{_slug(row['prompt'])}.mp4" for n, row in enumerate(PROMPTS, start=1)]
    # The clips of an earlier demo give way.
    landing = [{"output_path": str(place.absolute()), "overwrite": "replace"} for place in places]
    rows_given = [{**row, **where} for row, where in zip(PROMPTS, landing, strict=True)]
    run = airflow.trigger_dag(DAG_ID, {"prompts": rows_given})
    say(f"\nDAG {DAG_ID}, run {run.run_id}:")
    for number, row in enumerate(PROMPTS, start=1):
        say(f"  video {number}: {row['prompt']} ({row['aspect_ratio']})")
    _follow(airflow, run, say)
    if (state := airflow.run_state(run)) != "success":
        raise DemoFailed(f"the run ended as {state!r}\n{_last_words(airflow, run)}")

    clips = [airflow.xcom(run, TASK_ID, map_index=index) for index in range(len(PROMPTS))]
    files = [_landed(clip, index, places[index]) for index, clip in enumerate(clips)]
    rows = [
        (row["prompt"], clip["status"], str(clip["units"]), f"{output.name}/{file.name} ({size:,} bytes)")
        for row, clip, (file, size) in zip(PROMPTS, clips, files, strict=True)
    ]
    say("")
    for line in table(("prompt", "status", "units", "file"), rows):
        say(line)
    say(f"\nwhat {TASK_ID}[0] returned (its XCom):\n{json.dumps(clips[0], indent=2, ensure_ascii=False)}")
    _check_ledger(emulator, clips, say)
    return run


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a plain table, columns as wide as they must be."""
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    return [
        "  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines
    ]


def _follow(airflow: LocalAirflow, run: Run, say: Callable[[str], None]) -> None:
    """One line for each change of each video's task, until the run has ended."""
    started = time.monotonic()
    seen: dict[int, str] = {}
    deferred: set[int] = set()
    while True:
        # Asked before the tasks are: what ended before this is in what follows.
        ended = airflow.run_state(run) in FINAL_STATES
        for instance in airflow.task_instances(run):
            if instance.task_id != TASK_ID or instance.map_index < 0:
                continue
            state = instance.state
            if state is None or state == "scheduled" or seen.get(instance.map_index) == state:
                continue
            again = state == "running" and instance.map_index in deferred
            if state == "deferred":
                deferred.add(instance.map_index)
            seen[instance.map_index] = state
            meaning = _MEANING.get("running again" if again else state, "")
            elapsed = time.monotonic() - started
            say(f"{elapsed:6.1f} s  video {instance.map_index + 1}  {state:<9} {meaning}".rstrip())
        if ended:
            return
        if time.monotonic() - started > RUN_TIMEOUT:
            raise DemoFailed(f"the run has not ended after {RUN_TIMEOUT:g} s\n{_last_words(airflow, run)}")
        time.sleep(0.3)


def _slug(prompt: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", prompt.lower())[:60].strip("-")


def _landed(clip: dict[str, Any], index: int, place: Path) -> tuple[Path, int]:
    """The file that the task says it landed, looked at with other eyes."""
    if clip["status"] != "succeeded" or not clip["videos"]:
        raise DemoFailed(f"video {index + 1} is {clip['status']}: {clip['status_message']}")
    video, content = clip["videos"][0], place.read_bytes()
    if (video["path"], video["bytes"]) != (str(place.absolute()), len(content)) or video[
        "sha256"
    ] != hashlib.sha256(content).hexdigest():
        raise DemoFailed(f"video {index + 1} is not what its task says: {video}")
    return place, len(content)


def _check_ledger(
    emulator: LocalEmulator, clips: Sequence[dict[str, Any]], say: Callable[[str], None]
) -> None:
    ledger = emulator.ledger()
    bought = len(ledger["creates"])
    if bought != len(PROMPTS):
        raise DemoFailed(f"{bought} videos were bought for {len(PROMPTS)} prompts: {ledger['creates']}")
    if len({clip["task_id"] for clip in clips}) != len(PROMPTS):
        raise DemoFailed("two prompts got the same video")
    say(f"\nKling's books: {bought} videos for {len(PROMPTS)} prompts, {ledger['charged_units']} units.")


def _last_words(airflow: LocalAirflow, run: Run) -> str:
    """The states of all tasks, and the end of the log of the first one that failed."""
    instances = airflow.task_instances(run)
    words = ", ".join(f"{t.label}: {t.state}" for t in instances)
    for t in instances:
        if t.state in {"failed", "up_for_retry"}:
            log = airflow.logs(run, t.task_id, map_index=t.map_index, try_number=t.try_number)
            return f"{words}\nthe log of {t.label} ends:\n{log[-2000:]}"
    return words
