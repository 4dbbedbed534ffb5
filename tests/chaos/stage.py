"""A real Airflow with the DAGs of the chaos rows, two emulators, and a board of who stands where."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from demo.airflow_api import Run, TaskInstance
from demo.local_airflow import LocalAirflow
from demo.local_emulator import LocalEmulator
from demo.processes import NotReached, wait_for
from tests.chaos.lives import is_delivered
from tests.chaos.report import Measured, Report

#: Seconds within which everything that is waited for comes about, on a slow machine.
PATIENCE = 150.0

#: Airflow's own waits, shortened so that a run takes minutes. What they mean stays.
HASTE = {
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    # One page holds all task instances.
    "AIRFLOW__API__MAXIMUM_PAGE_LIMIT": "1000",
}
#: For the rows that crash triggerer and scheduler, which come one after the other. While everything else runs
#: at once, a busy machine's scheduler would take itself for dead.
MORE_HASTE = {
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
}


class OrderlyAirflow(LocalAirflow):
    """Asked for one change at a time: on SQLite, two runs that are made at once lock each other out."""

    _changing = threading.Lock()

    def call(self, method: str, path: str, **request: Any) -> Any:
        """As the plain one."""
        with contextlib.nullcontext() if method == "GET" else self._changing:
            return super().call(method, path, **request)


class Stage:
    """What the rows of a real Airflow are played on.

    :param airflow: up, with the DAGs of ``tests/chaos/dags``.
    :param kling: the emulator.
    :param relay: another one, that drops external ids.
    :param folder: where tasks leave their process ids, and videos.
    :param s3: address of an object storage.
    :param report: where the counts go.
    """

    def __init__(
        self,
        airflow: LocalAirflow,
        kling: LocalEmulator,
        relay: LocalEmulator,
        folder: Path,
        s3: str,
        report: Report,
    ) -> None:
        self.airflow = airflow
        self.kling = kling
        self.relay = relay
        self.report = report
        self.folder = folder
        self.s3 = s3
        self._board: dict[tuple[str, str, str, int], TaskInstance] = {}
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Stop looking."""
        self._stopping.set()
        self._watcher.join(30)

    def _watch(self) -> None:
        """One request for all rows: each asking for itself would be more than this Airflow can answer."""
        while not self._stopping.wait(0.4):
            try:
                page = self.airflow.call(
                    "GET",
                    "/dags/~/dagRuns/~/taskInstances",
                    params={"limit": 1000, "order_by": "-start_date"},
                )
            except (httpx.HTTPError, ValueError):
                continue  # it is being crashed
            self._board = {
                (t["dag_id"], t["dag_run_id"], t["task_id"], t["map_index"]): TaskInstance(
                    t["task_id"], t["map_index"], t["state"], t["try_number"], t
                )
                for t in page["task_instances"]
            }

    def start(self, dag_id: str, conf: Mapping[str, Any] | None = None, run_id: str | None = None) -> Run:
        """Start a run."""
        return self.airflow.trigger_dag(dag_id, conf, run_id)

    def until(
        self,
        run: Run,
        state: str,
        *,
        tries: int = 1,
        task_id: str = "make",
        map_index: int = -1,
        timeout: float = PATIENCE,
    ) -> TaskInstance:
        """Wait until a task instance is in a state, in at least its n-th try."""
        key = (run.dag_id, run.run_id, task_id, map_index)

        def there() -> TaskInstance | None:
            found = self._board.get(key)
            return found if found and found.state == state and found.try_number >= tries else None

        try:
            return wait_for(there, f"{key} to be {state} in try {tries}", timeout)
        except NotReached as error:
            found = self._board.get(key)
            where = f"{found.state} in try {found.try_number}" if found else "nowhere"
            raise NotReached(f"{error}; it is {where}\n{self.log(run)[-4000:]}") from None

    def log(self, run: Run) -> str:
        """What all tries of a run's tasks said, the messages of their errors included.

        From the files: a try that Airflow has struck from its records is not to be had from its API.
        """
        folder = self.airflow.home / "logs" / f"dag_id={run.dag_id}" / f"run_id={run.run_id}"
        lines = []
        for path in sorted(folder.rglob("attempt=*.log*")):
            lines.append(f"--- {path.parent.name} {path.name}")
            for text in path.read_text(errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    line = json.loads(text)
                    errors = [error.get("exc_value", "") for error in line.get("error_detail") or ()]
                    lines.append(" ".join([line.get("level") or "", line.get("event") or "", *errors]))
        return "\n".join(lines)

    def until_log(self, run: Run, *words: str) -> None:
        """Wait until the log has all of these; a line is written a moment after it is said."""

        def said() -> bool:
            text = self.log(run)
            return all(word in text for word in words)

        try:
            wait_for(said, f"{run.dag_id} to say {words}", PATIENCE / 2, interval=0.5)
        except NotReached as error:
            raise NotReached(f"{error}; it said:\n{self.log(run)[-4000:]}") from None

    def plan(self, dag_id: str, fault: str, *, emulator: LocalEmulator | None = None, **more: Any) -> None:
        """Let this happen once to a create of this DAG's prompt."""
        self._plan(emulator or self.kling, "POST", "create", f"<{dag_id}>", {"kind": fault, **more})

    def plan_slow_downloads(self, kling_task_id: str, times: int) -> None:
        """Let so many downloads of a video come so slowly that there is time to kill who fetches it."""
        for _ in range(times):
            fault = {"kind": "slow", "bytes_per_second": 500}
            self._plan(self.kling, "GET", "video", kling_task_id, fault)

    def until_struck(self, dag_id: str, *, emulator: LocalEmulator | None = None) -> None:
        """Wait until the planned fault has met its create."""
        wait_for(
            lambda: not self._planned(emulator or self.kling, f"<{dag_id}>"),
            f"the create of {dag_id}",
            PATIENCE,
        )

    def until_downloading(self, kling_task_id: str, left: int) -> None:
        """Wait until of the planned slow downloads only so many are left: one has begun."""
        wait_for(
            lambda: self._planned(self.kling, kling_task_id) <= left,
            f"a download of {kling_task_id}",
            PATIENCE,
        )

    @staticmethod
    def _planned(emulator: LocalEmulator, mark: str) -> int:
        rules = httpx.get(f"{emulator.origin}/_emulator/faults", trust_env=False).raise_for_status().json()
        return sum(rule["contains"] == mark for rule in rules)

    def _plan(self, emulator: LocalEmulator, method: str, path: str, mark: str, fault: Any) -> None:
        self._post(emulator, "faults", [{"method": method, "path": path, "contains": mark, "fault": fault}])

    def kill_task(self, run: Run, *, task_id: str = "make", tries: int = 1) -> None:
        """``kill -9`` to the process that runs this try: by the id that it wrote down itself."""
        name = f"{run.dag_id}.{run.run_id}.{task_id}.-1.try{tries}.pid"
        wait_for((self.folder / name).exists, f"{name} to be written", PATIENCE)
        os.kill(int((self.folder / name).read_text()), signal.SIGKILL)

    def creates(self, dag_id: str, emulator: LocalEmulator | None = None) -> list[dict[str, Any]]:
        """What was bought for a DAG."""
        ledger = (emulator or self.kling).ledger()
        return [create for create in ledger["creates"] if f"<{dag_id}>" in create["prompt"]]

    def measure(
        self,
        run: Run,
        *,
        charged: int = 1,
        emulator: LocalEmulator | None = None,
        delivered: bool | None = None,
        words: str = "",
    ) -> Measured:
        """What a run has cost, once as many as this are charged; more would show as well.

        :param delivered: default: look at the task's result.
        :param words: of the prompt, where a run has several tasks.
        """
        source = emulator or self.kling
        marks = (f"<{run.dag_id}>", run.run_id, words)

        def mine(prompt: str) -> bool:
            return all(mark in prompt for mark in marks)

        def settled() -> Measured | None:
            ledger = source.ledger()
            creates = [c for c in ledger["creates"] if mine(c["prompt"])]
            if any(c["status"] not in ("succeed", "failed") for c in creates):
                return None
            return Measured(
                sent=sum(n for prompt, n in ledger["creates_arrived"].items() if mine(prompt)),
                accepted=len(creates),
                charged=sum(c["status"] == "succeed" for c in creates),
                delivered=self.delivered(run) if delivered is None else delivered,
            )

        found = wait_for(settled, f"all videos of {run.dag_id} to be made", PATIENCE)
        assert found.charged == charged, (run.dag_id, found)
        return found

    def delivered(self, run: Run, task_id: str = "make", map_index: int = -1) -> bool:
        """Whether the task's result leads to a video."""
        try:
            return is_delivered(self.airflow.xcom(run, task_id, map_index=map_index))
        except httpx.HTTPStatusError:
            return False

    @staticmethod
    def _post(emulator: LocalEmulator, what: str, body: Any) -> None:
        httpx.post(f"{emulator.origin}/_emulator/{what}", json=body, trust_env=False).raise_for_status()

    @contextlib.contextmanager
    def service_manager(self) -> Iterator[set[str]]:
        """While the block runs, start again what has ended, as a service manager does; which that were."""
        revived: set[str] = set()
        done = threading.Event()

        def look() -> None:
            while not done.wait(0.5):
                for name, process in list(self.airflow.running.items()):
                    if not process.running:
                        revived.add(name)
                        self.airflow.restart(name, signal.SIGKILL)

        manager = threading.Thread(target=look, daemon=True)
        manager.start()
        try:
            yield revived
        finally:
            done.set()
            manager.join(60)


Scenario = Callable[[Stage], None]
