"""Our errors as Airflow's: hopeless ones use up no retries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_kling.exceptions import KlingError, KlingInputError

#: What a later try adds to an error that came before it looked for what earlier ones did.
EARLIER = (
    " That is said of this try: if an earlier one bought a video, it is not lost, and a clear of this task "
    "finds it once this is mended."
)


@contextmanager
def airflow_errors(try_number: int = 1) -> Iterator[None]:
    """Turn a ``KlingError`` into ``AirflowFailException`` if it is hopeless, else ``AirflowException``."""
    try:
        yield
    except KlingError as e:
        error = AirflowFailException if e.hopeless else AirflowException
        earlier = EARLIER if try_number > 1 and isinstance(e, KlingInputError) else ""
        raise error(f"{e}{earlier}") from e
