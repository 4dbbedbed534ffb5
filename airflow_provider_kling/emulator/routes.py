"""Which request means what."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_kling.api.catalog import TaskKind
from airflow_provider_kling.emulator.messages import Request

_KIND_OF_PATH = {kind.path: kind.value for kind in TaskKind}


@dataclass(frozen=True)
class Route:
    """Where a request goes. ``label`` is its name in the ledger."""

    name: str
    label: str
    kind: str = ""
    given_id: str = ""


def find_route(request: Request, prefix: str) -> Route:
    """Return the route of a request; also when there is none, in one of three ways."""
    method = request.method
    path = request.path.removeprefix(prefix) if request.path.startswith(prefix + "/") else ""
    if path in _KIND_OF_PATH and method in ("GET", "POST"):
        return Route("create" if method == "POST" else "list", f"{method} {path}", _KIND_OF_PATH[path])
    parent, _, last = path.rpartition("/")
    if parent in _KIND_OF_PATH and last and method == "GET":
        return Route("query", f"GET {parent}/{{id}}", _KIND_OF_PATH[parent], last)
    if parent == "/videos" and last.endswith(".mp4") and method in ("GET", "HEAD"):
        return Route("video", f"{method} /videos/{{id}}", given_id=last.removesuffix(".mp4"))
    if (path, method) == ("/tasks", "GET"):
        return Route("tasks", "GET /tasks")
    if (path, method) == ("/account/costs", "GET"):
        return Route("account", "GET /account/costs")
    known = path in _KIND_OF_PATH or path in ("/tasks", "/account/costs")
    return Route("wrong_method" if known else "unknown" if path else "outside", "other")
