"""What an older Airflow lacks is said in one message."""

from __future__ import annotations

import pytest

from airflow_provider_kling.version_compat import has_retry_policies


@pytest.mark.skipif(has_retry_policies(), reason="retry policies came with Airflow 3.3")
def test_an_older_airflow_says_what_a_retry_policy_needs() -> None:
    with pytest.raises(ImportError, match=r"KlingRetryPolicy needs Airflow 3.3 or later"):
        import airflow_provider_kling.retry_policy  # noqa: F401
