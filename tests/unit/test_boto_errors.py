"""AWS's codes and botocore's exceptions in this package's terms."""

from __future__ import annotations

import traceback

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigParseError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    ProxyConnectionError,
    ReadTimeoutError,
    SSOTokenLoadError,
)
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker

from airflow_ddb_backup import exceptions
from airflow_ddb_backup.boto_errors import from_boto, map_exceptions
from airflow_ddb_backup.exceptions import BackupError, ErrorContext

SUBJECT = ErrorContext("orders", "nightly", "eu-west-1")


def client_error(
    code: str, text: str = "AWS's words", status: int = 400, operation: str = "CreateBackup"
) -> ClientError:
    """Return what boto raises for an error response."""
    response = {"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, operation)


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        ("TableNotFoundException", exceptions.TableNotFoundError, "does not exist"),
        ("ResourceNotFoundException", exceptions.TableNotFoundError, "does not exist"),
        ("TableInUseException", exceptions.TableInUseError, "in use"),
        ("BackupInUseException", exceptions.BackupInUseError, "being created, deleted or restored"),
        ("LimitExceededException", exceptions.LimitExceededError, "Up to 500 table operations"),
        (
            "ContinuousBackupsUnavailableException",
            exceptions.ContinuousBackupsUnavailableError,
            "point-in-time recovery",
        ),
        ("ContinuousBackupsUnavailableException", exceptions.ContinuousBackupsUnavailableError, "continuous backups"),
        ("AccessDeniedException", exceptions.AccessDeniedError, "dynamodb:CreateBackup"),
        ("BackupNotFoundException", exceptions.BackupNotFoundError, "does not exist"),
        ("ThrottlingException", exceptions.ThrottledError, "throttles"),
        ("ValidationException", exceptions.InvalidRequestError, "invalid"),
        ("ExpiredTokenException", exceptions.CredentialsError, "credentials"),
        ("UnrecognizedClientException", exceptions.CredentialsError, "credentials"),
        ("SomethingNewException", BackupError, "API reference"),
    ],
)
def test_every_code_has_its_error(code: str, kind: type[BackupError], says: str) -> None:
    """The message names table, backup, region, AWS's code and AWS's text, and says what to do."""
    error = from_boto(client_error(code), SUBJECT)
    assert type(error) is kind
    for part in ("table 'orders'", "backup 'nightly'", "region 'eu-west-1'", code, "AWS's words", says):
        assert part in str(error)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Subscriber limit exceeded: There is a limit of 2500 tables per subscriber", exceptions.QuotaExceededError),
        ("Subscriber limit exceeded: Only 10 tables can be created simultaneously", exceptions.LimitExceededError),
        ("Something new", exceptions.LimitExceededError),
    ],
)
def test_a_quota_is_told_from_too_many_at_once_by_its_text(text: str, kind: type[BackupError]) -> None:
    """Both have one code; a text that is not known may pass."""
    assert type(from_boto(client_error("LimitExceededException", text), SUBJECT)) is kind


def test_a_long_text_is_cut() -> None:
    """It would be stored in events and XComs."""
    message = str(from_boto(client_error("ThrottlingException", "x" * 100_000), SUBJECT))
    assert 2048 < len(message) < 2500
    assert "x" * 2048 in message


@pytest.mark.parametrize(("code", "status"), [("InternalServerError", 500), ("ServiceUnavailable", 503)])
def test_a_server_error_is_ambiguous(code: str, status: int) -> None:
    """After any 5xx AWS may have done what it was asked."""
    error = from_boto(client_error(code, status=status), SUBJECT)
    assert isinstance(error, exceptions.AmbiguousOutcomeError)
    assert "not known" in str(error)


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (NoRegionError(), exceptions.NoRegionSetError),
        (NoCredentialsError(), exceptions.CredentialsError),
        (EndpointConnectionError(endpoint_url="http://x"), exceptions.UnreachableError),
        (ConnectTimeoutError(endpoint_url="http://x"), exceptions.UnreachableError),
        (ReadTimeoutError(endpoint_url="http://x"), exceptions.AmbiguousOutcomeError),
        (ConnectionClosedError(endpoint_url="http://x"), exceptions.AmbiguousOutcomeError),
    ],
)
def test_what_botocore_raises_itself_has_its_error(cause: BotoCoreError, kind: type[BackupError]) -> None:
    """A connection that was never made is told from a response that was lost."""
    error = from_boto(cause, SUBJECT)
    assert type(error) is kind
    assert type(cause).__name__ in str(error)


def test_the_original_error_is_the_cause() -> None:
    """Nothing of what boto knew is lost."""
    cause = client_error("ThrottlingException")
    with pytest.raises(exceptions.ThrottledError) as raised, map_exceptions(SUBJECT):
        raise cause
    assert raised.value.__cause__ is cause


def test_a_refused_role_names_the_action_of_sts() -> None:
    """The permission to add is that of the call which was refused."""
    assert "sts:AssumeRole" in str(from_boto(client_error("AccessDenied", operation="AssumeRole"), SUBJECT))


def test_without_list_backups_it_says_what_to_do() -> None:
    """ListBackups has no resource-level permission, and there is a way without."""
    error = from_boto(client_error("AccessDeniedException", operation="ListBackups"), SUBJECT)
    assert "Grant dynamodb:ListBackups on '*'" in str(error)
    assert "if_exists='create'" in str(error)


def test_an_exception_that_nobody_foresaw_is_mapped_too() -> None:
    """A response that can't be read may still have done what it was asked; its reason stays the cause."""
    with pytest.raises(exceptions.AmbiguousOutcomeError, match="KeyError") as raised, map_exceptions(SUBJECT):
        raise KeyError
    assert isinstance(raised.value.__cause__, KeyError)


def test_an_exception_of_this_package_passes_through() -> None:
    """It says more."""
    with pytest.raises(exceptions.InvalidValueError), map_exceptions(SUBJECT):
        raise exceptions.InvalidValueError


def botocore_exceptions() -> list[type[BotoCoreError]]:
    """Return every exception that botocore has."""
    found, todo = [], [BotoCoreError]
    while todo:
        kind = todo.pop()
        found.append(kind)
        todo += kind.__subclasses__()
    return found


def an_instance(kind: type[BotoCoreError]) -> BotoCoreError:
    """Make an exception without knowing what its text needs."""
    # Some are also OSErrors.
    error: BotoCoreError = (OSError if issubclass(kind, OSError) else Exception).__new__(kind)
    Exception.__init__(error, "botocore's words")
    return error


@pytest.mark.parametrize("kind", botocore_exceptions(), ids=lambda kind: kind.__name__)
def test_what_failed_before_the_request_left_has_done_nothing(kind: type[BotoCoreError]) -> None:
    """A dead proxy, a missing profile, an expired login, or an error that botocore adds one day."""
    assert not isinstance(from_boto(an_instance(kind), SUBJECT, sent=False), exceptions.AmbiguousOutcomeError)


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (ProfileNotFound(profile="shop"), exceptions.ConfigurationError),
        (ConfigParseError(path="~/.aws/config"), exceptions.ConfigurationError),
        (ValueError("Invalid endpoint: nowhere"), exceptions.ConfigurationError),
        (FileNotFoundError("/var/run/token"), exceptions.CredentialsError),
        (PermissionError("/var/run/token"), exceptions.CredentialsError),
        (SSOTokenLoadError(profile_name="shop", error_msg="expired"), exceptions.CredentialsError),
        (CredentialRetrievalError(provider="process", error_msg="failed"), exceptions.CredentialsError),
        (ReadTimeoutError(endpoint_url="https://sts"), exceptions.UnreachableError),
        (ProxyConnectionError(proxy_url="http://proxy"), exceptions.UnreachableError),
        (client_error("Throttling", operation="AssumeRole"), exceptions.ThrottledError),
        (client_error("ServiceUnavailable", status=503, operation="AssumeRole"), exceptions.UnreachableError),
        (client_error("MalformedPolicyDocument", operation="AssumeRole"), exceptions.ConfigurationError),
    ],
)
def test_what_has_done_nothing_is_unreachable_credentials_or_configuration(
    cause: Exception, kind: type[BackupError]
) -> None:
    """By what has to be fixed."""
    assert type(from_boto(cause, SUBJECT, sent=False)) is kind


@pytest.mark.parametrize("code", ThrottledRetryableChecker._THROTTLED_ERROR_CODES)  # noqa: SLF001  # the list is the fact
def test_what_botocore_takes_for_throttling_may_pass(code: str) -> None:
    """Its own table is the source."""
    assert isinstance(from_boto(client_error(code), SUBJECT), exceptions.TransientError)


@pytest.mark.parametrize("code", TransientRetryableChecker._TRANSIENT_ERROR_CODES)  # noqa: SLF001  # as above
def test_what_botocore_takes_for_transient_is_retried(code: str) -> None:
    """After it AWS may have done what it was asked, unless it says that it was too much."""
    retried = exceptions.TransientError | exceptions.AmbiguousOutcomeError
    assert isinstance(from_boto(client_error(code), SUBJECT), retried)


@pytest.mark.parametrize(
    "error",
    [
        ProxyConnectionError(proxy_url="http://socks5://user:pass@word@proxy:1080"),
        HTTPClientError(error="Failed to parse: http://user:pass@word@proxy:99999"),
    ],
)
def test_no_message_has_a_proxy_s_password(error: BotoCoreError) -> None:
    """Botocore hides it only in addresses that it can parse."""
    told = str(from_boto(error, SUBJECT))
    assert "***@proxy:" in told
    assert "user" not in told
    assert "word" not in told


@pytest.mark.parametrize("code", ["RequestExpired", "MissingAuthenticationToken", "InvalidClientTokenId"])
def test_what_sts_says_of_credentials_is_credentials(code: str) -> None:
    """Its codes are not DynamoDB's."""
    assert type(from_boto(client_error(code, operation="AssumeRole"), SUBJECT)) is exceptions.CredentialsError


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, exceptions.ThrottledError),
        (407, exceptions.AmbiguousOutcomeError),
        (502, exceptions.AmbiguousOutcomeError),
        (503, exceptions.AmbiguousOutcomeError),
    ],
)
def test_a_bare_http_status_is_a_proxy_s(status: int, kind: type[BackupError]) -> None:
    """It may have passed the request on, unless it says that there were too many."""
    assert type(from_boto(client_error(str(status), status=status), SUBJECT)) is kind


def test_the_traceback_is_as_clean_as_the_message() -> None:
    """Airflow logs it, with every exception behind this one."""
    reason = ConnectionError("socks5h://user:secret@proxy failed\n\x1b[31m" + "x" * 10_000)
    error = HTTPClientError(error=reason)
    error.__cause__ = reason
    from_boto(error, SUBJECT)
    for line in "".join(traceback.format_exception(error)).split("\n"):
        assert "secret" not in line
        assert line.isprintable()
        assert len(line) < 2200


def test_what_the_caller_was_handling_stays_as_it_is() -> None:
    """It is the caller's own, not behind the exception of a call that fails meanwhile."""
    own = ValueError("The caller's own, of //shop@orders.\n" + "x" * 10_000)
    text = str(own)
    try:
        raise own
    except ValueError:
        with pytest.raises(BackupError), map_exceptions(SUBJECT):
            raise client_error("AccessDeniedException") from None
    assert str(own) == text
