"""What a process leaves behind in the folder ``CHAOS_FOLDER``: its id, and what has already happened once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("CHAOS_FOLDER", "/nowhere"))


def first_time(ti: Any, what: str) -> bool:
    """Whether this has not happened to this task instance; from now on it has."""
    try:
        (FOLDER / f"{ti.dag_id}.{ti.run_id}.{ti.task_id}.{ti.map_index}.{what}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def note_pid(ti: Any) -> None:
    """Write down which process is at it, for the test to kill."""
    name = f"{ti.dag_id}.{ti.run_id}.{ti.task_id}.{ti.map_index}.try{ti.try_number}.pid"
    (FOLDER / f".{name}").write_text(str(os.getpid()))
    (FOLDER / f".{name}").rename(FOLDER / name)
