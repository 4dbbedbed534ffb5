"""A real Airflow 3 on this machine: its four components, each a process, driven over its REST API."""

from __future__ import annotations

import base64
import itertools
import os
import secrets
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from demo.airflow_api import AirflowApi
from demo.processes import NotReached, Process, Processes, free_port, wait_for

#: Seconds a component gets to end by itself. A triggerer takes ten, for nothing that matters here.
STOP_GRACE = 4.0

#: What makes an Airflow, in the order it is started.
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")

#: As the health page calls those that have a heartbeat.
_HEALTH = ("metadatabase", "scheduler", "dag_processor", "triggerer")


class LocalAirflow(AirflowApi):
    """A whole Airflow in one folder, reachable from this machine only. Use as a context manager.

    Everything it runs with is given here or made anew: nothing is taken from the caller's environment
    but the place of temporary files, so that a half-configured Airflow of the user has no say.

    :param home: its ``AIRFLOW_HOME``: database, logs, configuration. Made if missing.
    :param dags_folder: whose DAGs it runs; each is paused until it is triggered here.
    :param connections: connection id -> URI or JSON.
    :param sql_alchemy_conn: of the metadata database; an SQLite file in ``home`` by default.
    :param environment: more variables, above all ``AIRFLOW__SECTION__OPTION``.
    :param port: of the UI and API; a free one by default.
    :param parallelism: how many tasks run at once (deferred ones don't count).
    :param processes: start the components among these; by default among its own.
    """

    def __init__(
        self,
        home: Path,
        dags_folder: Path,
        *,
        connections: Mapping[str, str] | None = None,
        sql_alchemy_conn: str | None = None,
        environment: Mapping[str, str] | None = None,
        port: int | None = None,
        parallelism: int = 4,
        processes: Processes | None = None,
    ) -> None:
        self.port = port or free_port()
        super().__init__(f"http://127.0.0.1:{self.port}")
        self.home = home.resolve()
        self.processes = processes or Processes(self.home / "components", STOP_GRACE)
        self.running: dict[str, Process] = {}
        self._cli_calls = itertools.count(1)
        self._bin = Path(sys.executable).parent
        database = sql_alchemy_conn or f"sqlite:///{self.home / 'airflow.db'}"
        self.environment = {
            "PATH": os.pathsep.join([str(self._bin), "/usr/local/bin", "/usr/bin", "/bin"]),
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "TMPDIR": os.environ.get("TMPDIR", "/tmp"),  # noqa: S108 - where the system has none of its own
            # macOS ends forked children that look up its proxy settings or touch Objective-C.
            "NO_PROXY": "*",
            "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder.resolve()),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            # A DAG with a schedule would run, and buy, by itself.
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": str(parallelism),
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            # Whoever reaches the loopback interface is an admin: there is nothing to log in to.
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            # By default a new file stays unseen for minutes.
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
            # The button on the page of connections; off by default because it runs code in the api-server.
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            # The default asks the DNS for a full name, which takes seconds on some machines.
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **{f"AIRFLOW_CONN_{name.upper()}": value for name, value in (connections or {}).items()},
            **(environment or {}),
        }

    def __enter__(self) -> LocalAirflow:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, timeout: float = 120) -> None:
        """Make the database, start every component and wait until all are healthy.

        :raises NotReached: with the end of the log of what did not come up.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        self.cli("db", "migrate", timeout=timeout)
        for component in COMPONENTS:
            self.start_component(component)
        self.wait_healthy(timeout)

    def stop(self) -> None:
        """End every component with all it has started."""
        self.running.clear()
        self.close_client()
        self.processes.end_all()

    def cli(self, *arguments: str, timeout: float = 60) -> str:
        """Run ``airflow <arguments>`` against this Airflow; what it printed.

        :raises NotReached: if it fails, with its last lines, or takes longer than ``timeout`` seconds.
        """
        # Only the words of the command: what follows may be a secret, and this names a file.
        words = "-".join(arguments[:2])
        name = f"{next(self._cli_calls):02}-{words}"
        process = self.processes.start(name, [str(self._bin / "airflow"), *arguments], self.environment)
        try:
            wait_for(lambda: not process.running, f"airflow {words}", timeout, interval=0.05)
        finally:
            self.processes.end(process)
        if process.exit_code:
            raise NotReached(f"airflow {words}: exit {process.exit_code}\n{process.tail()}")
        return process.log.read_text(errors="replace")

    def start_component(self, component: str, name: str | None = None) -> Process:
        """Start one component.

        :param component: one of :data:`COMPONENTS`.
        :param name: to run a second one of it beside the first, e.g. ``triggerer-2``.
        """
        name = name or component
        command = [str(self._bin / "airflow"), component]
        if component in {"scheduler", "triggerer"}:
            # Their log servers listen on every interface. The api-server reads the files as well.
            command.append("--skip-serve-logs")
        self.running[name] = self.processes.start(name, command, self.environment)
        return self.running[name]

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a component and all it has started.

        After SIGKILL or SIGTERM it is gone when this returns.
        """
        process = self.running[name]
        process.signal(number, everyone=True)
        if number in {signal.SIGKILL, signal.SIGTERM}:
            self.processes.end(self.running.pop(name))

    def restart(self, name: str, number: int = signal.SIGTERM) -> None:
        """End a component with this signal and start it anew."""
        component = next(c for c in COMPONENTS if name.startswith(c))
        self.kill(name, number)
        self.start_component(component, name)

    def wait_healthy(self, timeout: float = 60) -> None:
        """Until every component that was started reports a fresh heartbeat.

        :raises NotReached: at once when one has ended, with the end of its log.
        """

        def healthy() -> bool:
            for name, process in self.running.items():
                if not process.running:
                    raise NotReached(f"{name} ended with exit code {process.exit_code}:\n{process.tail()}")
            health = self.health()
            return all(health.get(name) == "healthy" for name in _HEALTH)

        try:
            wait_for(healthy, "Airflow to be healthy", timeout)
        except NotReached as error:
            raise NotReached(f"{error} (logs: {self.processes.logs}; last: {self.health()})") from error
