"""Kling's error codes as exceptions that say what to do. Sorted by what helps, not by HTTP status:
Kling answers 429 for "slow down" (1302), "no free slot" (1303), "in arrears" (1101) and more.

Source: Kling API reference, "Error codes"; how relays differ is from their public documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_kling import exceptions as ex
from airflow_provider_kling.api.tasks import GenerationTask, TaskStatus

#: A body is quoted up to this many characters.
QUOTED = 500


@dataclass(frozen=True)
class _Meaning:
    error: type[ex.KlingAPIError]
    what: str
    advice: str


_CHECK_KEY = "Check login and password of the Airflow connection; retrying will not help."
_WAIT = "A retry may succeed."

_MEANINGS: Mapping[int, _Meaning] = {
    1000: _Meaning(ex.KlingAuthenticationError, "authentication failed", _CHECK_KEY),
    1001: _Meaning(ex.KlingAuthenticationError, "no credentials arrived", _CHECK_KEY),
    1002: _Meaning(ex.KlingAuthenticationError, "the credentials are not valid", _CHECK_KEY),
    1003: _Meaning(
        ex.KlingAuthenticationError,
        "the token is not valid yet: this machine's clock is ahead of the service's",
        "Set the clock (NTP); retrying will not help.",
    ),
    1004: _Meaning(
        ex.KlingAuthenticationError,
        "the token has expired: this machine's clock is behind the service's",
        "Set the clock (NTP); retrying will not help.",
    ),
    1100: _Meaning(
        ex.KlingAccountError,
        "the account is not in order",
        "Look at the Kling console; retrying will not help.",
    ),
    1101: _Meaning(
        ex.KlingAccountError, "the account is in arrears", "Settle the bill; retrying will not help."
    ),
    1102: _Meaning(
        ex.KlingAccountError,
        "the video resource pack is used up or expired",
        "Buy a pack or change the connection; retrying will not help.",
    ),
    1103: _Meaning(
        ex.KlingPermissionError,
        "the account may not use this API or model",
        "Choose another model or ask Kling for access; retrying will not help.",
    ),
    1200: _Meaning(
        ex.KlingRejectedError, "the request is not valid", "Correct the request; retrying will not help."
    ),
    1201: _Meaning(
        ex.KlingRejectedError, "a value is not valid", "Correct the request; retrying will not help."
    ),
    1202: _Meaning(
        ex.KlingRejectedError,
        "the method is not valid",
        "Check the connection's host; retrying will not help.",
    ),
    1203: _Meaning(
        ex.KlingRejectedError,
        "the resource, such as the model, does not exist",
        "Check model_name and host; retrying will not help.",
    ),
    1300: _Meaning(
        ex.KlingContentPolicyError,
        "the platform's policy refused the request",
        "Change the prompt; retrying will not help.",
    ),
    1301: _Meaning(
        ex.KlingContentPolicyError,
        "the content policy refused the prompt",
        "Change the prompt; retrying will not help.",
    ),
    1302: _Meaning(ex.KlingRateLimitError, "too many requests", _WAIT),
    1303: _Meaning(
        ex.KlingConcurrencyError,
        "all of the account's slots hold a task",
        "A retry succeeds once one ends; a pool with include_deferred=True keeps a DAG within the quota.",
    ),
    1304: _Meaning(
        ex.KlingPermissionError,
        "this machine's address is not on the account's whitelist",
        "Add it in the Kling console; retrying will not help.",
    ),
    5000: _Meaning(ex.KlingServerError, "internal error of the service", _WAIT),
    5001: _Meaning(ex.KlingServerError, "the service is unavailable (maintenance)", _WAIT),
    5002: _Meaning(ex.KlingServerError, "the service timed out internally", _WAIT),
}

_BY_STATUS: Mapping[int, _Meaning] = {
    401: _Meaning(ex.KlingAuthenticationError, "the host refused the credentials", _CHECK_KEY),
    402: _Meaning(ex.KlingAccountError, "the host wants payment", "Settle the bill; retrying will not help."),
    403: _Meaning(
        ex.KlingPermissionError,
        "the host refused access",
        "Check host and credentials of the Airflow connection; retrying will not help.",
    ),
    404: _Meaning(
        ex.KlingRejectedError,
        "the host does not know this address",
        "Check the connection's host and its path; retrying will not help.",
    ),
    408: _Meaning(ex.KlingServerError, "the host gave up waiting for the request", _WAIT),
    429: _Meaning(ex.KlingRateLimitError, "too many requests", _WAIT),
    499: _Meaning(ex.KlingServerError, "a proxy closed the request", _WAIT),
}

_NOT_FOUND = _Meaning(
    ex.KlingTaskNotFoundError,
    "no task of this account has this id",
    "Check the id and the connection's account; Kling clears tasks after 30 days. Retrying will not help.",
)
_DUPLICATE = _Meaning(
    ex.KlingDuplicateError,
    "the external task id is taken",
    "Look the task up by this id, or choose another one.",
)


def refusal(
    *,
    status: int,
    code: int | str | None,
    text: str,
    request_id: str = "",
    retry_after: float | None = None,
) -> ex.KlingAPIError:
    """The exception for an answer that is not a success.

    :param status: HTTP status.
    :param code: Kling's code, a relay's word, or ``None``.
    :param text: the service's message, or the start of the body where there is none.
    """
    return _error(
        _meaning(status, code, text),
        status=status,
        code=code,
        text=text,
        request_id=request_id,
        retry_after=retry_after,
    )


def _error(
    meaning: _Meaning,
    *,
    status: int,
    code: int | str | None,
    text: str,
    request_id: str,
    retry_after: float | None,
) -> ex.KlingAPIError:
    quoted = " ".join(text[:QUOTED].split())
    return meaning.error(
        f"{code if code is not None else f'HTTP {status}'}: {meaning.what}. This call bought nothing. "
        f"{meaning.advice} (HTTP {status}, the service said: {quoted or 'nothing'!r}, "
        f"request_id {request_id or 'not given'})",
        code=code,
        http_status=status,
        request_id=request_id,
        service_message=text[:QUOTED],
        retry_after=retry_after,
    )


def _meaning(status: int, code: int | str | None, text: str) -> _Meaning:  # noqa: PLR0911 - one per case
    words = text.lower()
    # Narrow: "voice id not found" must not read as "nothing was bought under this id".
    if code == 1201 and "task" in words and "not found" in words:
        return _NOT_FOUND
    # Wide: taking a refusal for a duplicate costs a look-up, the reverse loses a video that was bought.
    if (code in (1200, 1201) or isinstance(code, str)) and _says_taken(words):
        return _DUPLICATE
    if code == "task_not_exist":
        return _NOT_FOUND
    if isinstance(code, int) and code in _MEANINGS:
        return _MEANINGS[code]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return _Meaning(ex.KlingServerError, "trouble at the host", _WAIT)
    if 300 <= status < 400:
        return _Meaning(
            ex.KlingRejectedError,
            "the host redirects elsewhere",
            "Put the final address into the connection's host; retrying will not help.",
        )
    if status >= 400 or code is not None:
        return _Meaning(
            ex.KlingRejectedError,
            "the host refused the request",
            "Correct the request; retrying will not help.",
        )
    return _UNREADABLE


def _says_taken(words: str) -> bool:
    """Whether a refusal is about an external id that is in use; the wording was seen on one path only."""
    about_it = "external_task_id" in words or "external task id" in words or "external id" in words
    return about_it and any(sign in words for sign in ("already", "duplicate", "exists", "重复", "已存在"))


_UNREADABLE = _Meaning(
    ex.KlingResponseError,
    "the answer is not the Kling API's",
    "Check the connection's host and its path, and any proxy on the way.",
)


def unreadable(status: int, text: str) -> ex.KlingAPIError:
    """The exception for an answer with a success status that nobody can read."""
    return _error(_UNREADABLE, status=status, code=None, text=text, request_id="", retry_after=None)


def check_ended_well(task: GenerationTask) -> None:
    """Accept a task that has ended with a video.

    :raises KlingTaskFailedError: it failed at Kling.
    :raises KlingResponseError: it succeeded and no video is named.
    """
    if task.status is TaskStatus.FAILED:
        raise task_failed(task)
    if not task.videos:
        raise ex.KlingResponseError(
            f"Task {task.task_id} succeeded, but the answer names no video. A retry looks again, nothing is "
            f"bought again (request_id {task.request_id or 'not given'}).",
            request_id=task.request_id,
        )


def task_failed(task: GenerationTask) -> ex.KlingTaskFailedError:
    """The exception for a task that ended as failed.

    Kling gives no code for it, only words; those of its risk control mean the content policy.
    """
    words = task.status_message.lower()
    policy = any(sign in words for sign in ("risk control", "content policy", "sensitive", "风控"))
    advice = "Change the prompt; retrying will not help." if policy else "A retry submits a new task."
    return ex.KlingTaskFailedError(
        f"Kling could not make the video of task {task.task_id}: {task.status_message or 'no reason given'}. "
        f"Failed tasks are not charged. {advice} (external id {task.external_task_id or 'none'}, "
        f"request_id {task.request_id or 'not given'})",
        task_id=task.task_id,
        external_task_id=task.external_task_id,
        hopeless=policy,
    )
