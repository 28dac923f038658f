"""From boto's errors to this package's. Pure."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from airflow_ddb_backup.errors import (
    AccessDeniedError,
    BackupError,
    ListBackupsDeniedError,
    OutcomeUnknownError,
    Subject,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_SERVER_ERROR = 500


def _family(kind: type[BackupError]) -> Iterator[type[BackupError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _family(child)


_BY_CODE = {code: kind for kind in _family(BackupError) for code in vars(kind).get("codes", ())}
# All other calls are DynamoDB's.
_STS = frozenset({"AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"})


def from_aws(error: ClientError | BotoCoreError, subject: Subject) -> BackupError:
    """Say an error of boto in this package's terms.

    :param error: what boto raised
    :param subject: what the call was about
    """
    if isinstance(error, ClientError):
        code, text = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        kind = _BY_CODE.get(code, OutcomeUnknownError if status >= _SERVER_ERROR else BackupError)
        if kind is AccessDeniedError and error.operation_name == "ListBackups":
            kind = ListBackupsDeniedError
        source = f"{'sts' if error.operation_name in _STS else 'dynamodb'}:{error.operation_name}"
    else:
        code, text, source = type(error).__name__, str(error), "botocore"
        bases = (base.__name__ for base in type(error).__mro__)
        kind = next((_BY_CODE[name] for name in bases if name in _BY_CODE), OutcomeUnknownError)
    return kind.about(subject, f"{source} answered {code}: {text.rstrip('.')}.")


@contextmanager
def translated(subject: Subject) -> Iterator[None]:
    """Turn what boto raises inside into this package's errors, with the original as the cause.

    :param subject: what the calls inside are about
    :raises BackupError: a call has failed
    """
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise from_aws(error, subject) from error
