"""Processes that never outlive whoever started them.

Airflow's components fork: executor workers, parsers, web workers. A worker even moves each task into a
process *group* of its own, so ending groups would leave tasks behind. What no descendant of a component
leaves is its *session*, so every process here is started as the leader of a new one, and ended with all
its members.

For the case that the starter itself is killed and can run no handler, a :class:`Warden` process stands
by: it holds one end of a pipe, and when that pipe closes it ends every session it was told of.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

#: Seconds that processes get to end on SIGTERM before they are killed.
GRACE = 15.0


class NotReached(RuntimeError):
    """Something that was waited for did not come about in its time."""


def wait_for(condition: Callable[[], T | None], what: str, timeout: float, interval: float = 0.2) -> T:
    """Ask ``condition`` until it answers something truthy and return that.

    :param what: completes the sentence "waited … s for <what>" of the error.
    :param timeout: in seconds.
    :raises NotReached: when the time is up.
    """
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise NotReached(f"waited {timeout:g} s for {what}")
        time.sleep(interval)
    return answer


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still winding down counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def session_members(sessions: Iterable[int]) -> set[int]:
    """Ids of the living processes in these sessions (zombies are not alive)."""
    wanted = set(sessions)
    members = set()
    if Path("/proc/self/stat").exists():
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                # "pid (name) state ppid pgrp session …"; the name may hold spaces and parentheses.
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue  # ended while we looked
            if int(fields[3]) in wanted and fields[0] not in "ZX":
                members.add(int(stat.parent.name))
        return members
    listing = subprocess.run(["ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True, check=True)  # noqa: S607 - ps has no one place on all systems
    for line in listing.stdout.splitlines():
        pid, _, state = line.strip().partition(" ")
        try:
            if "Z" not in state and os.getsid(int(pid)) in wanted:
                members.add(int(pid))
        except OSError:
            continue
    return members


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def end_sessions(sessions: Iterable[int], grace: float = GRACE) -> None:
    """End all processes of these sessions: SIGTERM to all at once, SIGKILL after ``grace`` seconds.

    :raises NotReached: if one survives SIGKILL (it hangs in the kernel).
    """
    wanted = tuple(sessions)
    started = time.monotonic()
    told: set[int] = set()
    while members := session_members(wanted):
        elapsed = time.monotonic() - started
        if elapsed > grace + 10:
            raise NotReached(f"processes that do not even end on SIGKILL: {sorted(members)}")
        if elapsed > grace:
            _signal(members, signal.SIGKILL)
        else:
            # Each is told once: a second SIGTERM makes some servers drop their own clean-up.
            _signal(members - told, signal.SIGTERM)
            told |= members
        time.sleep(0.05)


class Process:
    """One started command: leader of its own session, its output in a file."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._popen = popen

    @property
    def pid(self) -> int:
        """Id of the process and of its session."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether the command itself still runs."""
        return self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: ended by that signal."""
        return self._popen.poll()

    def members(self) -> set[int]:
        """Ids of all living processes of its session."""
        return session_members([self.pid])

    def signal(self, number: int, *, everyone: bool = False) -> None:
        """Send a signal to the command, or to ``everyone`` it has started too."""
        _signal(self.members() if everyone else [self.pid], number)

    def end(self, grace: float = GRACE) -> None:
        """End it and all its descendants."""
        end_sessions([self.pid], grace)
        self.reap()

    def reap(self) -> None:
        """Take the exit code of a process that has ended, or is about to."""
        # A zombie whose threads are still winding down can't be reaped at once.
        self._popen.wait(timeout=GRACE)

    def tail(self, lines: int = 15) -> str:
        """The last lines it printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Processes:
    """Starts processes and ends them all, on every way out. Use as a context manager.

    :param logs: folder for one ``<name>.log`` each.
    :param grace: seconds they get to end by themselves.
    """

    def __init__(self, logs: Path, grace: float = GRACE) -> None:
        self.logs = logs
        self.grace = grace
        self._running: list[Process] = []
        self._warden: subprocess.Popen[bytes] | None = None

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> Process:
        """Start ``command`` with exactly this environment."""
        self.logs.mkdir(parents=True, exist_ok=True)
        if self._warden is None:
            command_of_warden = [sys.executable, "-I", __file__, str(self.grace)]
            output = self.logs / "warden.log"
            self._warden = _start(command_of_warden, {}, stdin=subprocess.PIPE, output=output)
        log = self.logs / f"{name}.log"
        process = Process(name, _start(command, env, stdin=subprocess.DEVNULL, output=log), log)
        self._running.append(process)
        self._tell(f"+{process.pid}")
        return process

    def end(self, process: Process) -> None:
        """End one of them and its descendants."""
        process.end(self.grace)
        self._forget(process)

    def end_all(self) -> None:
        """End every one, all at once."""
        processes = list(self._running)
        end_sessions((process.pid for process in processes), self.grace)
        for process in processes:
            process.reap()
            self._forget(process)
        if self._warden is not None and self._warden.stdin is not None:
            self._warden.stdin.close()  # it has nothing left to end, and leaves
            self._warden.wait(timeout=GRACE)
            self._warden = None

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *exc: object) -> None:
        self.end_all()

    def _forget(self, process: Process) -> None:
        if process in self._running:
            self._running.remove(process)
            self._tell(f"-{process.pid}")

    def _tell(self, line: str) -> None:
        if self._warden is not None and self._warden.stdin is not None:
            self._warden.stdin.write(f"{line}\n".encode())
            self._warden.stdin.flush()


def _start(
    command: Sequence[str], env: Mapping[str, str], *, stdin: int, output: Path
) -> subprocess.Popen[bytes]:
    with output.open("ab") as sink:
        return subprocess.Popen(  # noqa: S603 - our own commands, no shell
            [*command], env=env, stdin=stdin, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True
        )


def _warden() -> None:
    """Read "+id" and "-id" lines; when they end, end every session that is still listed."""
    # Only the closing pipe ends the warden: Ctrl-C and a kill of the starter must not take it along.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sessions: set[int] = set()
    for line in sys.stdin:
        change, session = line[0], int(line[1:])
        (sessions.add if change == "+" else sessions.discard)(session)
    end_sessions(sessions, float(sys.argv[1]))


if __name__ == "__main__":
    _warden()
