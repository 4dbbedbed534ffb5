"""What Airflow does after a Kling error, decided as its task runner asks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_kling import exceptions as ex
from airflow_provider_kling.version_compat import has_retry_policies

if not has_retry_policies():
    pytest.skip("retry policies came with Airflow 3.3", allow_module_level=True)

from airflow.sdk.definitions.retry_policy import RetryAction

from airflow_provider_kling.retry_policy import KlingRetryPolicy


def decide(error: BaseException) -> Any:
    return KlingRetryPolicy().evaluate(error, try_number=1, max_tries=3, context=None)


def from_kling(error: Exception) -> AirflowException:
    """As the operators raise it."""
    try:
        raise AirflowException(str(error)) from error
    except AirflowException as e:
        return e


@pytest.mark.parametrize(
    "error",
    [
        ex.KlingInputError("m"),
        ex.KlingAuthenticationError("m", code=1002),
        ex.KlingAccountError("m", code=1102),
        ex.KlingContentPolicyError("m", code=1301),
        ex.KlingTaskFailedError("m", hopeless=True),
        ex.KlingLandingError("m", hopeless=True),
    ],
)
def test_what_is_hopeless_fails_now(error: Exception) -> None:
    for raised in (error, from_kling(error)):
        decision = decide(raised)
        assert decision.action is RetryAction.FAIL
        assert type(error).__name__ in decision.reason


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (ex.KlingRateLimitError("m", code=1302), 30),
        (ex.KlingRateLimitError("m", code=1302, retry_after=7), 7),
        (ex.KlingRateLimitError("m", code=1302, retry_after=0), 0),
        (ex.KlingConcurrencyError("m", code=1303), 60),
        (ex.KlingConcurrencyError("m", code=1303, retry_after=86400), 3600),
        (ex.KlingUnknownOutcomeError("m"), 15),
    ],
)
def test_what_may_succeed_is_retried_when_it_may(error: Exception, seconds: float) -> None:
    for raised in (error, from_kling(error)):
        decision = decide(raised)
        assert decision.action is RetryAction.RETRY
        assert decision.retry_delay == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("not Kling's"),
        AirflowException("not Kling's"),
        ex.KlingTaskFailedError("m"),
        ex.KlingTaskTimeoutError("m"),
        ex.KlingLandingError("m"),
        ex.KlingOutputError("m"),
        ex.KlingServerError("m"),
    ],
)
def test_the_rest_is_as_the_task_says(error: Exception) -> None:
    assert decide(from_kling(error)).action is RetryAction.DEFAULT


def test_it_is_serialised_as_airflow_wants() -> None:
    policy = KlingRetryPolicy()
    assert policy.serialize() == {"__type": "airflow_provider_kling.retry_policy.KlingRetryPolicy"}
    assert isinstance(KlingRetryPolicy.deserialize(policy.serialize()), KlingRetryPolicy)
