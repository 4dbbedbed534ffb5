"""How ``python -m demo`` ends when it does not come to its end."""

from __future__ import annotations

import fcntl
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from demo.processes import session_members, wait_for
from demo.story import table

ROOT = Path(__file__).resolve().parents[2]


def demo(place: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "demo", "--place", str(place), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_a_port_that_is_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with demo(tmp_path, "--port", str(port)) as run:
            output, _ = run.communicate(timeout=30)
    assert run.returncode == 1
    assert f"port {port} is in use" in output
    assert "Traceback" not in output


def test_a_second_demo_says_that_one_runs_already(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as held:
        held.write("4711")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        with demo(tmp_path) as run:
            output, _ = run.communicate(timeout=30)
    assert run.returncode == 1
    assert "runs in this checkout already (process 4711)" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_interrupted_ends_all_it_has_started(tmp_path: Path, number: signal.Signals) -> None:
    with demo(tmp_path) as run:
        assert run.stdout is not None
        # The last component has just been started: all of them are in the middle of their imports.
        wait_for((tmp_path / "logs" / "triggerer.log").exists, "the components to be started", 60)
        run.send_signal(number)
        rest = run.stdout.read()
        assert run.wait(timeout=30) == 128 + number
    assert f"Ended by {number.name}" in rest
    assert "Traceback" not in rest
    # All that it starts is told where its files are, in the environment.
    assert not [pid for pid in everybody() if str(tmp_path) in environment_of(pid)]
    assert session_members([run.pid]) == set()


def everybody() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]


def environment_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except OSError:
        return ""


def test_table_columns_are_as_wide_as_they_must_be() -> None:
    assert table(("a", "bb"), [("long", "x"), ("y", "z")]) == [
        "a     bb",
        "----  --",
        "long  x",
        "y     z",
    ]
