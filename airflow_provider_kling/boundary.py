"""Our errors and deadlines as Airflow's: hopeless errors use up no retries, our deadlines come before its."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_kling.exceptions import KlingError, KlingInputError

#: Seconds by which Airflow's own timeout of a deferral is later than the trigger's deadline: Airflow's
#: skips the method that resumes the task, and its message.
BACKSTOP_SECONDS = 300.0

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


def backstop(deadline: float) -> timedelta:
    """Airflow's timeout for a deferral whose trigger gives up at ``deadline``, seconds since the epoch."""
    return timedelta(seconds=max(0.0, deadline - time.time()) + BACKSTOP_SECONDS)
