"""A PostgreSQL database for one run, behind a gate that can be shut; where there is none, SQLite."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.chaos.gate import Gate

#: Where a PostgreSQL may be; its user must be allowed to create databases.
ADDRESS = os.environ.get("CHAOS_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")


@dataclass(frozen=True)
class Database:
    """Airflow's metadata database.

    :param url: for SQLAlchemy; ``None``: no PostgreSQL is reachable, use SQLite.
    :param gate: what stands before it.
    :param why_not: why there is none.
    """

    url: str | None = None
    gate: Gate | None = None
    why_not: str = ""


@contextmanager
def database() -> Iterator[Database]:
    """Make one; drop it in the end."""
    try:
        import psycopg2
    except ImportError:
        yield Database(why_not="psycopg2 is not installed")
        return
    parts = urlsplit(ADDRESS)
    name = f"airflow_chaos_{os.getpid()}"
    try:
        admin = psycopg2.connect(ADDRESS, connect_timeout=3)
    except psycopg2.OperationalError:
        yield Database(why_not="no PostgreSQL is reachable (see CHAOS_POSTGRES)")
        return
    # CREATE DATABASE does not run in a transaction.
    admin.autocommit = True
    try:
        with admin.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}"')
        try:
            with Gate(parts.port or 5432, parts.hostname or "127.0.0.1") as gate:
                who = parts.netloc.rpartition("@")[0]
                yield Database(f"postgresql+psycopg2://{who}@127.0.0.1:{gate.port}/{name}", gate)
        finally:
            with admin.cursor() as cursor:
                cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        admin.close()


def patient_sqlite(path: Path) -> str:
    """An SQLite file for an Airflow that is busy: by default its components give up on a lock, and end."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        # Stays with the file: readers no longer keep writers out.
        connection.execute("PRAGMA journal_mode=WAL")
    return f"sqlite:///{path}?timeout=60"
