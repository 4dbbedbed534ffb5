"""The harness itself: what it starts never outlives it. Needs no Airflow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from demo.processes import NotReached, Processes, free_port, is_free, session_members, wait_for

ROOT = Path(__file__).resolve().parents[2]

#: Like an Airflow component: a child in a process group of its own, and it does not care for SIGTERM.
STUBBORN_TREE = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setpgid(0, 0)
open(sys.argv[1] + "/" + str(os.getpid()), "w").close()
time.sleep(600)
"""


def start_tree(processes: Processes, folder: Path) -> int:
    """Start it; the id of its session, once both of its processes are up."""
    folder.mkdir()
    tree = processes.start("tree", [sys.executable, "-c", STUBBORN_TREE, str(folder)], {})
    wait_for(lambda: len(list(folder.iterdir())) == 2, "both processes", 10)
    assert len(tree.members()) == 2
    return tree.pid


def test_a_tree_that_ignores_sigterm_and_changes_its_group_is_ended_with_all_its_members(
    tmp_path: Path,
) -> None:
    processes = Processes(tmp_path / "logs", grace=0.2)
    session = start_tree(processes, tmp_path / "pids")
    processes.end_all()
    assert session_members([session]) == set()


def test_an_error_in_the_middle_leaves_nothing_behind(tmp_path: Path) -> None:
    sessions = []

    def work() -> None:
        with Processes(tmp_path / "logs", grace=0.2) as processes:
            sessions.append(start_tree(processes, tmp_path / "pids"))
            os.kill(sessions[0], signal.SIGKILL)  # the leader has gone, its child has not
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert session_members(sessions) == set()


def test_a_starter_that_is_killed_takes_everything_with_it(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from tests.system.test_processes import start_tree
from demo.processes import Processes
import time
folder = Path({str(tmp_path)!r})
print(start_tree(Processes(folder / "logs", grace=0.2), folder / "pids"), flush=True)
time.sleep(600)
"""
    starter = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with starter:
        assert starter.stdout is not None
        session = int(starter.stdout.readline())
        starter.kill()
    assert session_members([session])
    wait_for(lambda: not session_members([session]), "the warden to end them", 30)


def test_waiting_ends_with_what_was_waited_for() -> None:
    with pytest.raises(NotReached, match="waited 0 s for rain"):
        wait_for(lambda: None, "rain", 0)


def test_a_port_is_free_until_somebody_listens() -> None:
    import socket

    port = free_port()
    assert is_free(port)
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
