"""How AWS's error codes and the exceptions of boto map to this package's. No I/O.

A call that failed before its request left the machine has done nothing. So the mapping checks that first, and only
then the exception: by AWS's error code, by botocore's exception hierarchy and by botocore's own tables of transient and
throttling errors, so that a class or a code which botocore adds one day falls into its kind. In doubt the outcome is
ambiguous: settling it costs one listing, a second backup costs trust.
"""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import botocore.exceptions as boto
from botocore.retries.standard import RetryContext, ThrottledRetryableChecker, TransientRetryableChecker

from airflow_ddb_backup import exceptions
from airflow_ddb_backup.exceptions import AmbiguousOutcomeError, BackupError, UnreachableError, printable
from airflow_ddb_backup.limits import LONGEST_TEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_ddb_backup.exceptions import ErrorContext

_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = "429"
_CREDENTIALS = (
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IDPCommunicationError",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidIdentityToken",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
)
_BY_CODE: dict[str, type[BackupError]] = {
    "AccessDenied": exceptions.AccessDeniedError,
    "AccessDeniedException": exceptions.AccessDeniedError,
    "BackupInUseException": exceptions.BackupInUseError,
    "BackupNotFoundException": exceptions.BackupNotFoundError,
    "ConcurrentUpdateException": exceptions.TransientError,
    "ContinuousBackupsUnavailableException": exceptions.ContinuousBackupsUnavailableError,
    "FailedResourceAccessException": exceptions.TransientError,
    "InvalidRestoreTimeException": exceptions.RestoreTimeError,
    "LimitExceededException": exceptions.LimitExceededError,
    # Of a policy whose target was just registered.
    "ObjectNotFoundException": exceptions.TransientError,
    # GetResources' token, after 15 minutes: the listing begins again.
    "PaginationTokenExpiredException": exceptions.InvalidRequestError,
    "PointInTimeRecoveryUnavailableException": exceptions.PointInTimeRecoveryUnavailableError,
    "ResourceInUseException": exceptions.TableInUseError,
    "ResourceNotFoundException": exceptions.TableNotFoundError,
    "TableAlreadyExistsException": exceptions.TargetTableExistsError,
    "TableInUseException": exceptions.TableInUseError,
    "TableNotFoundException": exceptions.TableNotFoundError,
    "ValidationException": exceptions.InvalidRequestError,
    **dict.fromkeys(_CREDENTIALS, exceptions.CredentialsError),
}
#: botocore's exceptions, each with all its subclasses
_BY_CLASS: dict[type[Exception], type[BackupError]] = {
    boto.NoRegionError: exceptions.NoRegionSetError,
    boto.ParamValidationError: exceptions.InvalidRequestError,
    boto.CredentialRetrievalError: exceptions.CredentialsError,
    boto.MetadataRetrievalError: exceptions.CredentialsError,
    boto.NoAuthTokenError: exceptions.CredentialsError,
    boto.NoCredentialsError: exceptions.CredentialsError,
    boto.PartialCredentialsError: exceptions.CredentialsError,
    boto.RefreshWithMFAUnsupportedError: exceptions.CredentialsError,
    boto.SSOError: exceptions.CredentialsError,
    boto.TokenRetrievalError: exceptions.CredentialsError,
    boto.UnknownCredentialError: exceptions.CredentialsError,
    # Not in every botocore that is supported.
    getattr(boto, "LoginError", boto.SSOError): exceptions.CredentialsError,
}
#: a connection that was never made: no request can have left. A proxy's error is none of them, since urllib3 calls a
#: response that was lost behind a proxy alike.
_NEVER_CONNECTED = (boto.EndpointConnectionError, boto.ConnectTimeoutError)
#: operation, code and text of what only these together tell; empty: any. AWS has one code for too many operations at
#: once and for quotas that no waiting raises (the texts: hashicorp/terraform-provider-aws#2274; of throughput assumed).
_SPECIAL: tuple[tuple[str, str, str, type[BackupError]], ...] = (
    ("ListBackups", "AccessDeniedException", "", exceptions.ListBackupsDeniedError),
    ("DeleteBackup", "", "system backup", exceptions.SystemBackupError),
    # The table was described just before.
    ("EnableKinesisStreamingDestination", "ResourceNotFoundException", "", exceptions.KinesisStreamNotFoundError),
    ("UpdateTimeToLive", "", "multiple times", exceptions.TimeToLiveChangedError),
    ("", "LimitExceededException", "tables per subscriber", exceptions.QuotaExceededError),
    ("", "LimitExceededException", "account-level throughput", exceptions.QuotaExceededError),
)
_UNVERIFIED = "CERTIFICATE_VERIFY_FAILED"
# In a proxy's address: botocore hides it only where it can parse that, and not of a SOCKS proxy.
_USER = re.compile(r"//[^/\s]*@")
_NOTHING_SENT: dict[type[BackupError], type[BackupError]] = {
    AmbiguousOutcomeError: UnreachableError,
    BackupError: exceptions.ConfigurationError,
}


def from_boto(
    error: Exception, context: ErrorContext, *, sent: bool = True, handled: BaseException | None = None
) -> BackupError:
    """Return this package's exception for what a call has raised.

    :param error: the exception of boto3, botocore, a credential provider or a parser
    :param context: the table, backup and region of the call
    :param sent: whether the request may have left the machine
    :param handled: what the caller was handling before the call, which is left as it is; ``None``: nothing
    """
    if isinstance(error, boto.ClientError):
        kind = _kind_of_response(error)
    else:
        sent = sent and not _never_left(error)
        kind = _kind_of_exception(error, sent=sent)
    if not sent:
        kind = _NOTHING_SENT.get(kind, kind)
    made = kind.about(context, told(error))
    _clean(error, handled)
    return made


def told(error: BaseException) -> str:
    """Return who has said what when a call failed, a sentence for a message.

    :param error: the exception of boto3, botocore, a credential provider or a parser
    """
    if isinstance(error, boto.ClientError):
        source = f"{_service(error.operation_name)}:{error.operation_name} answered"
        code, text = error.response.get("Error", {}).get("Code", ""), error.response.get("Error", {}).get("Message", "")
    else:
        source, code, text = "botocore raised", type(error).__name__, str(error)
    return f"{source} {code}: {_cleaned(text)}."


@contextmanager
def map_exceptions(context: ErrorContext, sent: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Raise this package's exceptions for those of the block, with the original as the cause.

    :param context: the table, backup and region of the calls in the block
    :param sent: whether the request may have left the machine when the exception came
    :raises BackupError: a call has failed
    """
    handled = sys.exc_info()[1]
    try:
        yield
    except BackupError:
        raise
    except Exception as error:
        raise from_boto(error, context, sent=sent(), handled=handled) from error


def _kind_of_response(error: boto.ClientError) -> type[BackupError]:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    for operation, special_code, text, kind in _SPECIAL:
        if operation in {"", error.operation_name} and special_code in {"", code} and text in str(error):
            return kind
    if code in _BY_CODE:
        return _BY_CODE[code]
    attempt = RetryContext(attempt_number=1, parsed_response=error.response)
    if code == _TOO_MANY_REQUESTS or ThrottledRetryableChecker().is_retryable(attempt):
        return exceptions.ThrottledError
    # AWS names its errors. A bare HTTP status is a proxy's, which may have passed the request on.
    if status >= _SERVER_ERROR or code.isdecimal() or TransientRetryableChecker().is_retryable(attempt):
        return AmbiguousOutcomeError
    return BackupError


def _kind_of_exception(error: Exception, *, sent: bool) -> type[BackupError]:
    for base in type(error).__mro__:
        if base in _BY_CLASS:
            return _BY_CLASS[base]
    if sent:
        return AmbiguousOutcomeError
    if isinstance(error, boto.HTTPClientError | boto.ConnectionError):
        return UnreachableError
    # A token file that is missing or unreadable.
    return exceptions.CredentialsError if isinstance(error, OSError) else exceptions.ConfigurationError


def _never_left(error: Exception) -> bool:
    """Return whether no request can have left: its connection was never made."""
    return isinstance(error, _NEVER_CONNECTED) or (isinstance(error, boto.SSLError) and _UNVERIFIED in str(error))


def _clean(error: BaseException | None, handled: BaseException | None) -> None:
    """Clean the texts of an exception and of those behind it: Airflow logs them all, with the traceback."""
    seen = [handled]
    # Two may each be the other's reason.
    while error is not None and error not in seen:
        seen.append(error)
        error.args = tuple(_cleaned(printable(one)) if isinstance(one, str) else one for one in error.args)
        error = error.__cause__ or error.__context__


def _cleaned(text: str) -> str:
    """Return the beginning of a text, which ends up in logs, events and XComs, without the password of a proxy."""
    text = _USER.sub("//***@", text.rstrip("."))
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} …"


def _service(operation: str) -> str:
    if operation.startswith("AssumeRole"):
        return "sts"
    if any(word in operation for word in ("Scaling", "Scalable", "Scheduled")):
        return "application-autoscaling"
    return "tag" if operation == "GetResources" else "dynamodb"
