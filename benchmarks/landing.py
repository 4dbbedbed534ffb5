"""Figure 7: landing a video against plain ``curl``: how fast it comes to the disk, what it takes of memory.

The same bytes from the same host (a socket of this process that sends zeros), to the same disk, by turns.
Landing hashes, checks and renames; curl only writes. Both end with the file on the disk (``fsync``), or it
would be the page cache that is measured.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import ROOT, Row
from tests.landing.video_host import VideoHost, serving, sha256

#: Of the video. Large against what any cache holds back, small against a minute.
BYTES = 1_000_000_000
ROUNDS = 5


def with_curl(url: str, folder: Path) -> float:
    """Seconds."""
    target = folder / "curl.mp4"
    started = time.perf_counter()
    command = ["curl", "--silent", "--fail", "--output", str(target), url]
    subprocess.run(command, check=True)  # noqa: S603 - fixed words, and the address of our own server
    with target.open("rb+") as file:
        os.fsync(file.fileno())
    seconds = time.perf_counter() - started
    target.unlink()
    return seconds


def with_landing(url: str, folder: Path, size: int) -> tuple[float, int]:
    """Seconds, and bytes by which memory rose."""
    done = subprocess.run(  # noqa: S603 - likewise
        [sys.executable, "-m", "tests.landing.land_one", url, str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    result = json.loads(done.stdout.splitlines()[-1])
    if (result["bytes"], result["sha256"]) != (size, sha256(size)):
        raise SystemExit(f"the file is not what was served: {result}")
    for name in ("task.mp4", "task.mp4.sha256"):
        (folder / name).unlink()
    return result["seconds"], result["memory"]


def run(quick: bool) -> list[Row]:
    """Figure 7."""
    size, rounds = (BYTES // 100, 1) if quick else (BYTES, ROUNDS)
    has_curl = shutil.which("curl") is not None
    curl, landing, memory = [], [], []
    # On the disk of this folder: /tmp may be memory.
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=ROOT) as name, serving(VideoHost(size)) as host:
        for _ in range(rounds):
            if has_curl:
                curl.append(size / 1e6 / with_curl(host.url, Path(name)))
            seconds, rise = with_landing(host.url, Path(name), size)
            landing.append(size / 1e6 / seconds)
            memory.append(rise / 2**20)
    ours, peer = statistics.median(landing), statistics.median(curl) if curl else None
    return [
        Row(
            f"7. landing {size / 1e6:,.0f} MB, hash included (peer: curl)",
            ours,
            peer,
            unit="MB/s",
            bound=peer,
            target="at least 0.8 of curl's" if peer else "",
            met=ours >= 0.8 * peer if peer else None,
            detail={"runs_ours": landing, "runs_peer": curl},
        ),
        Row(
            "7. landing, memory above the start, at most",
            max(memory),
            unit="MB",
            target="under 100 MB",
            met=max(memory) < 100,
            detail={"runs_ours": memory},
        ),
    ]
