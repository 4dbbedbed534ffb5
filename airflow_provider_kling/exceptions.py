"""What can go wrong, sorted by the two questions that matter: was anything bought, and what does a retry do.

::

    KlingError
    ├── KlingInputError               nothing bought  our own validation, before any request
    │   ├── KlingNoConnectionError    retry           Airflow finds no such connection now
    │   └── KlingOutputError          retry           output_path can't be reached now
    ├── KlingAPIError                 nothing bought  the service refused, or was never reached
    │   ├── KlingConnectionError      retry
    │   ├── KlingServerError          retry
    │   ├── KlingResponseError        retry           an answer nobody can read
    │   ├── KlingRateLimitError       retry           1302
    │   ├── KlingConcurrencyError     retry           1303: no free slot
    │   ├── KlingAuthenticationError  hopeless        1000-1004
    │   ├── KlingAccountError         hopeless        1100-1102
    │   ├── KlingPermissionError      hopeless        1103, 1304
    │   ├── KlingContentPolicyError   hopeless        1300, 1301
    │   └── KlingRejectedError        hopeless        1200-1203 and other refusals
    │       ├── KlingTaskNotFoundError
    │       └── KlingDuplicateError
    └── KlingTaskError                a task exists, or may
        ├── KlingTaskFailedError      retry: a new task; the failed one is not charged
        ├── KlingTaskTimeoutError     retry: waits on for the same video
        ├── KlingLandingError         retry: lands the same video
        └── KlingUnknownOutcomeError  retry: looks the task up before anything is bought

In an operator, *hopeless* becomes ``AirflowFailException`` (no retry is wasted), the rest
``AirflowException``.
Error codes: https://app.klingai.com/global/dev/document-api, "Error codes".
"""

from __future__ import annotations


class KlingError(Exception):
    """Base of all errors of this package."""

    #: Trying again with nothing changed can't succeed: an operator fails without using its retries.
    hopeless = False


class KlingInputError(KlingError, ValueError):
    """A request that Kling would refuse, refused here. Nothing was bought, a retry can't help."""

    hopeless = True


class KlingNoConnectionError(KlingInputError):
    """Airflow has no connection of that id: mistyped, deleted, or its secrets backend is away.

    Nothing was bought, a retry may help: from here the three look the same.
    """

    hopeless = False


class KlingOutputError(KlingInputError):
    """The storage of ``output_path`` can't be reached now. Nothing was bought, a retry may help."""

    hopeless = False


class KlingAPIError(KlingError):
    """The service refused a call, or could not be reached. The call bought nothing.

    :param message: what happened and what to do next.
    :param code: Kling's code (``1102``), or ``None`` where the answer had none.
    :param http_status: status of the answer, or ``None`` where there was no answer.
    :param request_id: Kling's id of the call, for its support; empty where the answer had none.
    :param service_message: the service's own words.
    :param retry_after: seconds the service asked to wait, where it did.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int | str | None = None,
        http_status: int | None = None,
        request_id: str = "",
        service_message: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.http_status = http_status
        self.request_id = request_id
        self.service_message = service_message
        self.retry_after = retry_after


class KlingConnectionError(KlingAPIError):
    """The service could not be reached: name lookup, refused, no route, TLS. A retry may."""


class KlingServerError(KlingAPIError):
    """Trouble on the service's side (5000-5002, HTTP 5xx) or no answer to a read. A retry may."""


class KlingResponseError(KlingAPIError):
    """An answer that is not the Kling API's. A retry may help where a proxy was in the way."""


class KlingRateLimitError(KlingAPIError):
    """1302: too many requests. A retry helps after a while."""


class KlingConcurrencyError(KlingAPIError):
    """1303: all of the account's slots hold a task. A retry helps once one of them has ended."""


class KlingAuthenticationError(KlingAPIError):
    """1000-1004: the credentials are wrong, or this machine's clock is. A retry can't help."""

    hopeless = True


class KlingAccountError(KlingAPIError):
    """1100-1102: the account is suspended, in arrears or used up. A retry can't help."""

    hopeless = True


class KlingPermissionError(KlingAPIError):
    """1103, 1304: not allowed for this account, model or address. A retry can't help."""

    hopeless = True


class KlingContentPolicyError(KlingAPIError):
    """1300, 1301: the content policy refused the request. Only another prompt can help."""

    hopeless = True


class KlingRejectedError(KlingAPIError):
    """1200-1203 and any other refusal of a request. A retry can't help."""

    hopeless = True


class KlingTaskNotFoundError(KlingRejectedError):
    """No task of this account has the id: mistyped, of another account, or cleared after 30 days."""


class KlingDuplicateError(KlingRejectedError):
    """The external task id is taken: an earlier call with it was accepted."""


class KlingTaskError(KlingError):
    """A task exists at Kling, or may.

    :param message: what happened and what to do next.
    :param task_id: Kling's id, empty where it is not known.
    :param external_task_id: the id this package gave the task, empty where it gave none.
    """

    def __init__(self, message: str, *, task_id: str = "", external_task_id: str = "") -> None:
        super().__init__(message)
        self.task_id = task_id
        self.external_task_id = external_task_id


class KlingTaskFailedError(KlingTaskError):
    """Kling could not make the video. Failed tasks are not charged; a retry submits a new one.

    :param hopeless: the reason given is Kling's content policy: only another prompt can help.
    """

    def __init__(
        self, message: str, *, task_id: str = "", external_task_id: str = "", hopeless: bool = False
    ) -> None:
        super().__init__(message, task_id=task_id, external_task_id=external_task_id)
        self.hopeless = hopeless


class KlingTaskTimeoutError(KlingTaskError):
    """The wait gave up; the video is still being made and will be billed. A retry waits on for it."""


class KlingLandingError(KlingTaskError):
    """The video is there and paid for, but not yet where ``output_path`` says. A retry buys nothing.

    :param hopeless: a retry can't land it either: Kling has cleared it, or another file is in its place.
    """

    def __init__(
        self, message: str, *, task_id: str = "", external_task_id: str = "", hopeless: bool = False
    ) -> None:
        super().__init__(message, task_id=task_id, external_task_id=external_task_id)
        self.hopeless = hopeless


class KlingUnknownOutcomeError(KlingTaskError):
    """A create was sent, and neither its answer nor a look-up tells whether it was accepted.

    Nothing is sent again. A retry looks the task up first.
    """
