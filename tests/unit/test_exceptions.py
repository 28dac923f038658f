"""AWS's errors in this package's terms."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ReadTimeoutError,
)

from airflow_ddb_backup import exceptions
from airflow_ddb_backup.exceptions import BackupError, ErrorContext, from_boto, map_exceptions

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
        ("InternalServerError", exceptions.AmbiguousOutcomeError, "not known"),
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


def test_a_server_error_without_a_known_code_is_ambiguous() -> None:
    """After any 5xx AWS may have done what it was asked."""
    assert isinstance(
        from_boto(client_error("ServiceUnavailable", status=503), SUBJECT), exceptions.AmbiguousOutcomeError
    )


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
    assert "Allow dynamodb:ListBackups on '*'" in str(error)
    assert "if_exists='create'" in str(error)


def test_what_is_not_boto_s_passes_through() -> None:
    """No other error is dressed up as AWS's."""
    with pytest.raises(KeyError), map_exceptions(SUBJECT):
        raise KeyError


def test_only_what_no_retry_can_mend_fails_the_task_at_once() -> None:
    """Airflow does not retry an AirflowFailException; timeouts and refusals that may pass are none."""
    final = {
        kind.__name__
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, AirflowFailException)
    }
    assert final - {"AirflowFailException"} == {
        "AccessDeniedError",
        "BackupExistsError",
        "BackupLostError",
        "PermanentError",
        "InvalidRequestError",
        "InvalidValueError",
        "ListBackupsDeniedError",
        "NoRegionSetError",
        "OtherRegionError",
        "PointInTimeRecoveryDisabledError",
        "TableNotFoundError",
    }


def test_the_root_is_an_airflow_exception() -> None:
    """Callbacks and soft_fail treat our errors as any other's."""
    assert issubclass(BackupError, AirflowException)
