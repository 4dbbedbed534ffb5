"""Our errors as Airflow's: hopeless ones use up no retries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_kling.exceptions import KlingError


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Turn a ``KlingError`` into ``AirflowFailException`` if it is hopeless, else ``AirflowException``."""
    try:
        yield
    except KlingError as e:
        error = AirflowFailException if e.hopeless else AirflowException
        raise error(str(e)) from e
