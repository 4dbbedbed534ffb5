"""Landing against plain ``curl``: how fast a video comes to the disk, and what it takes of memory.

``python -m benchmarks.landing [--size 1000000000] [--rounds 3] [--folder .]``: the same bytes from the same
host (a socket on this machine that sends zeros), to the same disk, by turns. Landing hashes, checks and
renames; curl only writes. Both end with the file on the disk (``fsync``), or it would be the page cache that
is measured. Needs ``curl``. The best
of the rounds says what it can do, the median what else the machine was busy with.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.landing.video_host import VideoHost, serving, sha256

ROOT = Path(__file__).parents[1]


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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1_000_000_000, help="bytes of the video")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", default=".", help="on the disk that is to be measured")
    arguments = parser.parse_args()
    if shutil.which("curl") is None:
        raise SystemExit("curl is not installed")
    curl, landing, memory = [], [], []
    with (
        tempfile.TemporaryDirectory(dir=arguments.folder) as name,
        serving(VideoHost(arguments.size)) as host,
    ):
        for _ in range(arguments.rounds):
            curl.append(arguments.size / 1e6 / with_curl(host.url, Path(name)))
            seconds, rise = with_landing(host.url, Path(name), arguments.size)
            landing.append(arguments.size / 1e6 / seconds)
            memory.append(rise / 2**20)
    print(f"a video of {arguments.size / 1e6:,.0f} MB, {arguments.rounds} rounds by turns   best   median")
    for name, rates in (("curl", curl), ("landing (hash, check and rename included)", landing)):
        print(f"{name:<44} MB/s {max(rates):8.0f} {statistics.median(rates):8.0f}")
    best, median = max(landing) / max(curl), statistics.median(landing) / statistics.median(curl)
    print(f"{'ratio':<49} {best:8.2f} {median:8.2f}")
    print(f"memory above the start, at most: {max(memory):.0f} MB")


if __name__ == "__main__":
    main()
