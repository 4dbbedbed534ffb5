"""What Airflow is to do after a Kling error: retry policies, Airflow 3.3 and later.

Older Airflows have none: there a hopeless error still uses up no retry (it is an ``AirflowFailException``),
and the rest are retried after ``retry_delay``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_kling.exceptions import (
    KlingConcurrencyError,
    KlingError,
    KlingRateLimitError,
    KlingUnknownOutcomeError,
)

try:
    from airflow.sdk.definitions.retry_policy import RetryAction, RetryDecision, RetryPolicy
except ImportError as e:
    raise ImportError("KlingRetryPolicy needs Airflow 3.3 or later, which retry policies came with.") from e

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

#: Seconds to wait where the service does not say.
THROTTLED_SECONDS = 30.0
#: Seconds. A slot becomes free when a video is done, which takes a minute at least.
FULL_SECONDS = 60.0
#: Seconds. By then the service knows what it accepted, and a retry buys nothing that was bought.
UNKNOWN_SECONDS = 15.0
#: Seconds. Whatever a service asks for, nobody should wait longer without a look.
LONGEST_SECONDS = 3600.0

_ADVICE = {
    KlingRateLimitError: (THROTTLED_SECONDS, "too many requests"),
    KlingConcurrencyError: (FULL_SECONDS, "no free slot"),
    KlingUnknownOutcomeError: (
        UNKNOWN_SECONDS,
        "it is unknown whether the order arrived; the retry looks first",
    ),
}


class KlingRetryPolicy(RetryPolicy):
    """Retries what may succeed, when it may; fails at once what can't.

    The operators of this package have it unless the author sets another. It understands the errors of
    ``KlingHook`` too, for ``@task(retries=3, retry_policy=KlingRetryPolicy())``. What is not Kling's is left
    to the task's own ``retries`` and ``retry_delay``; so is the number of retries, always.

    ============================  =========================================================
    hopeless (keys, policy, ...)  fail now
    rate limit, no free slot      retry after what the service asks, else after 30 s, 60 s
    unknown outcome               retry after 15 s: the retry finds what was bought
    everything else               as the task says
    ============================  =========================================================
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide, from the Kling error behind an exception."""
        error = kling_error(exception)
        if error is None:
            return RetryDecision.default()
        if error.hopeless:
            return RetryDecision.fail(f"{type(error).__name__}: retrying can't help")
        for kind, (seconds, reason) in _ADVICE.items():
            if isinstance(error, kind):
                asked = getattr(error, "retry_after", None)
                delay = min(seconds if asked is None else float(asked), LONGEST_SECONDS)
                return RetryDecision.retry(timedelta(seconds=delay), f"{type(error).__name__}: {reason}")
        return RetryDecision(RetryAction.DEFAULT, reason=f"{type(error).__name__}: as the task says")

    def serialize(self) -> dict[str, Any]:
        """Nothing to remember."""
        return {"__type": f"{type(self).__module__}.{type(self).__qualname__}"}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> KlingRetryPolicy:
        """Another one is as good."""
        return cls()


def kling_error(exception: BaseException | None) -> KlingError | None:
    """The Kling error that an exception is, or was raised from."""
    for _ in range(10):
        if exception is None or isinstance(exception, KlingError):
            return exception
        exception = exception.__cause__
    return None
