"""``make demo``: see :mod:`demo.story` for what is shown; here is how it starts and how it ends.

However it ends (done, failed, Ctrl-C, a closed terminal, killed), no process stays behind.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TextIO

import httpx

from demo.airflow_api import Run
from demo.local_airflow import STOP_GRACE, LocalAirflow
from demo.local_emulator import LocalEmulator
from demo.processes import NotReached, Processes, is_free
from demo.story import TASK_ID, DemoFailed, play

ROOT = Path(__file__).resolve().parent.parent
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """Somebody asked the demo to end. Not an Exception: nobody's error handling may swallow it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _stop(number: int, _frame: FrameType | None) -> None:
    for further in SIGNALS:
        signal.signal(further, signal.SIG_IGN)  # ending takes a few seconds: impatience must not cut it short
    raise Stopped(number)


def say(line: str) -> None:
    """Print a line at once, whether or not a terminal is there."""
    print(line, flush=True)


@contextmanager
def own_terminal() -> Iterator[None]:
    """Have Ctrl-C come to this process alone while it runs below ``make``.

    make answers a Ctrl-C by failing, whatever the exit code of what it ran; here it is how KEEP=1 ends well.
    """
    if "MAKELEVEL" not in os.environ or not sys.stdin.isatty() or os.getpgrp() != os.tcgetpgrp(0):
        yield
        return
    before = os.getpgrp()
    # The kernel stops a background group that sets the terminal's group, unless it ignores this.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpgrp())
    try:
        yield
    finally:
        os.tcsetpgrp(0, before)


def lock(place: Path) -> TextIO:
    """Be the only demo in this checkout, for as long as the returned file is open.

    :raises DemoFailed: if another one runs.
    """
    place.mkdir(parents=True, exist_ok=True)
    file = (place / "lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        raise DemoFailed(
            f"a demo runs in this checkout already (process {file.read().strip()}): end it with Ctrl-C first"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def arguments() -> argparse.Namespace:
    """What was asked for, on the command line or (by make) in variables."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave Airflow running until Ctrl-C")
    parser.add_argument("--port", type=int, help="of Airflow's UI (default: a free one)")
    parser.add_argument("--emulator-port", type=int, help="of the Kling emulator (default: a free one)")
    parser.add_argument("--place", type=Path, default=ROOT / ".demo", help="folder for Airflow and all logs")
    return parser.parse_args()


def check_ports(asked: argparse.Namespace) -> None:
    """See that nobody listens on a port that was asked for.

    :raises DemoFailed: if somebody does.
    """
    for port in (asked.port, asked.emulator_port):
        if port and not is_free(port):
            raise DemoFailed(f"port {port} is in use by another program: choose another, or none")


def run(asked: argparse.Namespace, place: Path, processes: Processes) -> tuple[LocalAirflow, Run]:
    """From nothing to the clips. The caller ends ``processes``."""
    started = time.monotonic()
    emulator = LocalEmulator(processes, port=asked.emulator_port)
    emulator.start()
    # The real service has retired the model that the camera example is about; here all examples can be tried.
    emulator.control("settings", {"discontinued": []})
    say(f"Kling:    the emulator on {emulator.base_url} (no account, no money)")
    airflow = LocalAirflow(
        place / "airflow",
        ROOT / "dags_examples",
        port=asked.port,
        processes=processes,
    )
    say("Airflow:  starting api-server, scheduler, dag-processor and triggerer …")
    airflow.start()
    # Not an environment variable: as a user makes it, and to be seen on the page of connections.
    # Port 0 is what the form's "Test" sends where there is none; Airflow tests what it has stored only if the
    # two are the same.
    airflow.add_connection(
        "kling_default", "kling", host=emulator.base_url, port=0, password=emulator.api_key
    )
    version = airflow.call("GET", "/version")["version"]
    say(f"Airflow:  {version} on {airflow.url}, ready after {time.monotonic() - started:.0f} s")
    done = play(airflow, emulator, ROOT / "demo_output", say)
    say(f"\nAll of it took {time.monotonic() - started:.0f} s.")
    return airflow, done


def keep(airflow: LocalAirflow, done: Run) -> None:
    """Leave Airflow to the user until a signal comes.

    :raises DemoFailed: if a component ends by itself.
    """
    page = f"{airflow.url}/dags/{done.dag_id}/runs/{done.run_id}"
    say(f"\nAirflow is yours until Ctrl-C:  {page}")
    say(f"A task, with its link:          {page}/tasks/{TASK_ID}/mapped/0/details")
    say("There is no login: whoever is on this machine is admin. All example DAGs are there; start one with")
    say("the button at the top right of its page.")
    while True:
        for name, process in airflow.running.items():
            if not process.running:
                raise DemoFailed(f"{name} ended by itself:\n{process.tail()}")
        time.sleep(1)


def main() -> int:
    """Exit code: 0 done, 1 failed, 128 + n when signal n came before the clips were there."""
    asked = arguments()
    place: Path = asked.place
    for number in SIGNALS:
        signal.signal(number, _stop)
    processes = Processes(place / "logs", STOP_GRACE)
    code = 1
    try:
        check_ports(asked)
        with lock(place):
            for old in ("airflow", "logs"):
                shutil.rmtree(place / old, ignore_errors=True)
            try:
                airflow, done = run(asked, place, processes)
                code = 0
                if asked.keep:
                    keep(airflow, done)
            finally:
                say("stopping what was started …")
                processes.end_all()
    except Stopped as stopped:
        if code:
            code = 128 + stopped.number
            say(f"Ended by {signal.Signals(stopped.number).name}. Nothing is left running.")
    except (DemoFailed, NotReached, httpx.HTTPError) as error:
        code = 1
        say(f"\nThe demo failed: {error}\nLogs: {place / 'logs'} and {place / 'airflow' / 'logs'}")
    return code


if __name__ == "__main__":
    with own_terminal():
        sys.exit(main())
