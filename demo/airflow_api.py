"""What one asks a running Airflow over its public REST API (``/api/v2``), in Python terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from demo.processes import NotReached, wait_for

#: States in which a task instance stays unless somebody clears it.
FINAL_STATES = frozenset({"success", "failed", "upstream_failed", "skipped", "removed"})


@dataclass(frozen=True)
class Run:
    """One DAG run."""

    dag_id: str
    run_id: str

    @property
    def path(self) -> str:
        """Its place in the API."""
        return f"/dags/{self.dag_id}/dagRuns/{self.run_id}"


@dataclass(frozen=True)
class TaskInstance:
    """One task of a run as it stands now. ``map_index`` is -1 for a task that is not mapped."""

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    #: Everything the API says of it, rendered fields and trigger included.
    raw: Mapping[str, Any]

    @property
    def label(self) -> str:
        """``task`` or ``task[2]``."""
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"


class AirflowApi:
    """A running Airflow 3 in "all admins" mode, where a token is had for the asking.

    Every method raises :class:`httpx.HTTPStatusError` for an answer that is not a success.

    :param url: of the api-server, without a trailing slash.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        # Not through a proxy: it is this machine that is meant.
        self._client = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def call(self, method: str, path: str, **request: Any) -> Any:
        """One request below ``/api/v2``; the decoded JSON of the answer, None for an empty one."""
        if "Authorization" not in self._client.headers:
            token = self._client.get("/auth/token").raise_for_status().json()["access_token"]
            self._client.headers["Authorization"] = f"Bearer {token}"
        answer = self._client.request(method, f"/api/v2{path}", **request)
        if answer.is_error:
            # Airflow says in the body what was wrong; httpx's own message has only the status.
            raise httpx.HTTPStatusError(
                f"{method} {path}: {answer.status_code} {answer.text}",
                request=answer.request,
                response=answer,
            )
        return answer.json() if answer.content else None

    def close_client(self) -> None:
        """Close the kept connections and forget the token."""
        self._client.close()
        self._client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    def health(self) -> dict[str, str | None]:
        """``{"scheduler": "healthy", …}``; empty while the api-server does not answer."""
        try:
            answer = self._client.get("/api/v2/monitor/health").raise_for_status().json()
        except httpx.HTTPError:
            return {}
        return {name: part["status"] for name, part in answer.items()}

    def wait_for_dag(self, dag_id: str, timeout: float = 60) -> None:
        """Until the DAG's file has been parsed.

        :raises NotReached: when it does not appear; at once when a file can't be imported.
        """

        def there() -> bool:
            broken = self.call("GET", "/importErrors")["import_errors"]
            if broken:
                raise NotReached("\n".join(f"{e['filename']}: {e['stack_trace']}" for e in broken))
            try:
                self.call("GET", f"/dags/{dag_id}")
            except httpx.HTTPStatusError as error:
                if error.response.status_code == httpx.codes.NOT_FOUND:
                    return False
                raise
            return True

        wait_for(there, f"the DAG {dag_id} to be parsed", timeout)

    def trigger_dag(
        self, dag_id: str, conf: Mapping[str, Any] | None = None, run_id: str | None = None
    ) -> Run:
        """Start a manual run (its ``logical_date`` is null), as the UI's button does; unpauses the DAG."""
        self.call("PATCH", f"/dags/{dag_id}", json={"is_paused": False})
        body = {"logical_date": None, "conf": dict(conf or {}), "dag_run_id": run_id}
        return Run(dag_id, self.call("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def run_state(self, run: Run) -> str:
        """``queued``, ``running``, ``success`` or ``failed``."""
        return str(self.call("GET", run.path)["state"])

    def task_instances(self, run: Run) -> list[TaskInstance]:
        """All of a run, mapped ones each by itself; sorted by task and map index."""
        found = self.call("GET", f"{run.path}/taskInstances", params={"limit": 1000})["task_instances"]
        return sorted(
            (TaskInstance(t["task_id"], t["map_index"], t["state"], t["try_number"], t) for t in found),
            key=lambda t: (t.task_id, t.map_index),
        )

    def task_instance(self, run: Run, task_id: str, map_index: int = -1) -> TaskInstance:
        """One of them. A mapped task has only the index -1 until it is expanded.

        :raises LookupError: if there is none.
        """
        for instance in self.task_instances(run):
            if (instance.task_id, instance.map_index) == (task_id, map_index):
                return instance
        raise LookupError(f"no {task_id}[{map_index}] in {run.run_id}")

    def wait_for_state(
        self, run: Run, task_id: str, states: Sequence[str], *, map_index: int = -1, timeout: float = 60
    ) -> TaskInstance:
        """Until the task instance is in one of ``states``.

        :raises NotReached: when it is not in ``timeout`` seconds, or has ended in another one.
        """

        def reached() -> TaskInstance | None:
            for found in self.task_instances(run):
                if (found.task_id, found.map_index) != (task_id, map_index):
                    continue
                if found.state in states:
                    return found
                if found.state in FINAL_STATES:
                    raise NotReached(f"{found.label} ended as {found.state}")
            return None

        return wait_for(reached, f"{task_id} to be {' or '.join(states)}", timeout)

    def wait_for_run(self, run: Run, timeout: float = 120) -> str:
        """Until the run has ended; ``success`` or ``failed``."""
        return wait_for(
            lambda: state if (state := self.run_state(run)) in FINAL_STATES else None,
            f"the run {run.run_id} of {run.dag_id} to end",
            timeout,
            interval=0.5,
        )

    def xcom(self, run: Run, task_id: str, *, map_index: int = -1, key: str = "return_value") -> Any:
        """The value a task instance has pushed, as a DAG author would see it."""
        return self.call(
            "GET",
            f"{run.path}/taskInstances/{task_id}/xcomEntries/{key}",
            params={"map_index": map_index, "deserialize": "true"},
        )["value"]

    def xcom_entries(self, run: Run, task_id: str, *, map_index: int = -1) -> list[dict[str, Any]]:
        """What there is of XComs (without the values)."""
        path = f"{run.path}/taskInstances/{task_id}/xcomEntries"
        found = self.call("GET", path, params={"map_index": map_index})["xcom_entries"]
        return [entry for entry in found if entry["map_index"] == map_index]

    def logs(self, run: Run, task_id: str, *, map_index: int = -1, try_number: int = 1) -> str:
        """The log of one try, worker and trigger together, one event a line."""
        answer = self.call(
            "GET",
            f"{run.path}/taskInstances/{task_id}/logs/{try_number}",
            params={"map_index": map_index, "full_content": "true"},
            headers={"Accept": "application/json"},
        )
        return "\n".join(
            line if isinstance(line, str) else f"{line.get('level', '')} {line.get('event', '')}"
            for line in answer["content"]
        )

    def links(self, run: Run, task_id: str, *, map_index: int = -1) -> dict[str, str | None]:
        """The buttons on the task's page: name -> address."""
        path = f"{run.path}/taskInstances/{task_id}/links"
        links: dict[str, str | None] = self.call("GET", path, params={"map_index": map_index})["extra_links"]
        return links

    def clear(
        self, run: Run, task_id: str, *, map_index: int | None = None, only_failed: bool = False
    ) -> None:
        """Clear a task (all its map indices unless one is given) as a user does in the UI."""
        body = {
            "dry_run": False,
            "dag_run_id": run.run_id,
            "task_ids": [task_id if map_index is None else [task_id, map_index]],
            "only_failed": only_failed,
        }
        self.call("POST", f"/dags/{run.dag_id}/clearTaskInstances", json=body)

    def set_state(self, run: Run, task_id: str, state: str, *, map_index: int = -1) -> None:
        """Mark a task instance ``success``, ``failed`` or ``skipped`` as a user does in the UI."""
        path = f"{run.path}/taskInstances/{task_id}" + (f"/{map_index}" if map_index >= 0 else "")
        self.call("PATCH", path, json={"new_state": state})

    def test_connection(self, connection_id: str, conn_type: str, **fields: Any) -> tuple[bool, str]:
        """What the button "test" says to a connection: whether it works, and the message."""
        body = {"connection_id": connection_id, "conn_type": conn_type, **fields}
        answer = self.call("POST", "/connections/test", json=body)
        return answer["status"], answer["message"]

    def add_connection(self, connection_id: str, conn_type: str, **fields: Any) -> None:
        """Store a connection in the metadata database, as the form in the UI does."""
        body = {"connection_id": connection_id, "conn_type": conn_type, **fields}
        self.call("POST", "/connections", json=body)
