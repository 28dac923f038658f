"""DynamoDB's asynchronous client, called no faster than its share of AWS's rates allows."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from aiolimiter import AsyncLimiter
from botocore import xform_name
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from airflow_ddb_backup.exceptions import (
    AmbiguousOutcomeError,
    BackupError,
    CredentialsError,
    ErrorContext,
    PermanentError,
    ThrottledError,
    UnreachableError,
    map_exceptions,
)
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.waiting.planner import DESCRIBE_RATE, LIST_RATE, AdaptiveRate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_ddb_backup.models import BackupArn
    from airflow_ddb_backup.waiting.planner import Sweep

# DynamoDB answers these calls in milliseconds; botocore would wait for 60 s, and everyone with it.
_CALL_TIMEOUT = 10.0
# A page that is still throttled at a quarter of the pace is left to the next round.
_PAGE_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class AwsSettings:
    """How AWS is asked: the four settings of every task.

    :param aws_conn_id: the Airflow connection
    :param region_name: the region; ``None``: the connection's
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    """

    aws_conn_id: str | None
    region_name: str | None
    verify: bool | str | None
    botocore_config: dict[str, Any] | None

    def key(self) -> str:
        """Return what is the same for equal settings."""
        return json.dumps(asdict(self), sort_keys=True, default=repr)

    def hook(self) -> DynamoDBBackupHook:
        """Return a new hook, which reads the Airflow connection anew."""
        settings = {"region_name": self.region_name, "verify": self.verify, "config": self.botocore_config}
        return DynamoDBBackupHook(self.aws_conn_id, **settings)


class RateLimitedClient:
    """One aiobotocore client, opened again when its credentials or its endpoint no longer do.

    :param settings: how AWS is asked
    """

    def __init__(self, settings: AwsSettings) -> None:
        self._settings = settings
        self._anything = ErrorContext(region=settings.region_name)
        self._client: Any = None
        self._closing = AsyncExitStack()
        self._stale = True
        #: whether IAM lets it list backups, as far as is known
        self.may_list = True
        self._paces = {"DescribeBackup": AdaptiveRate(DESCRIBE_RATE), "ListBackups": AdaptiveRate(LIST_RATE)}
        self._limiters = {action: AsyncLimiter(1, pace.slot) for action, pace in self._paces.items()}

    async def refresh(self) -> None:
        """Open the client, also again if the last one was refused. No call may be under way.

        :raises BackupError: it could not be opened
        """
        if not self._stale:
            return
        await self.close()
        try:
            with map_exceptions(self._anything):
                await self._open()
        except BackupError:
            raise
        except Exception as error:
            # Whatever ails Airflow's API, its database or the connection may be mended while the backup goes on.
            detail = f"The client could not be opened, {type(error).__name__}: {error}."
            raise UnreachableError.about(self._anything, detail) from error
        self._stale, self.may_list = False, True

    async def _open(self) -> None:
        async def enter() -> None:
            opening = await self._settings.hook().get_async_conn()  # type: ignore[no-untyped-call]  # as provided
            self._client = await self._closing.enter_async_context(opening)

        # A thread reads the connection, and goes on when this is cancelled: what it then hands over is to be closed.
        entering = asyncio.create_task(enter())
        try:
            await asyncio.shield(entering)
        finally:
            await asyncio.wait([entering])

    async def close(self) -> None:
        """Close the client."""
        await self._closing.aclose()

    async def describe_backup(self, arn: BackupArn) -> dict[str, Any]:
        """Return what DescribeBackup answers.

        :param arn: the backup
        :raises BackupError: AWS refused, or did not answer
        """
        return await self._call("DescribeBackup", arn.context, BackupArn=arn.text)

    async def list_backups(self, sweep: Sweep) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield the summaries of all on-demand backups of the account, a page at a time.

        :param sweep: when they were made
        :raises BackupError: AWS refused, or did not answer
        """
        request: dict[str, Any] = {
            "BackupType": "USER",
            "TimeRangeLowerBound": sweep.lower,
            "TimeRangeUpperBound": sweep.upper,
        }
        stop = stop_after_attempt(_PAGE_ATTEMPTS)
        retrying = AsyncRetrying(retry=retry_if_exception_type(ThrottledError), stop=stop, reraise=True)
        while True:
            try:
                page: dict[str, Any] = await retrying(self._call, "ListBackups", self._anything, **request)
            except PermanentError:
                self.may_list = False
                raise
            yield page.get("BackupSummaries", [])
            # A page may be empty and yet not the last.
            if not (cursor := page.get("LastEvaluatedBackupArn")):
                return
            request["ExclusiveStartBackupArn"] = cursor

    async def _call(self, action: str, subject: ErrorContext, **request: Any) -> dict[str, Any]:
        pace = self._paces[action]
        for _ in range(pace.slots):
            await self._limiters[action].acquire()
        try:
            async with asyncio.timeout(_CALL_TIMEOUT):
                with map_exceptions(subject):
                    response: dict[str, Any] = await getattr(self._client, xform_name(action))(**request)
        except TimeoutError as error:
            raise AmbiguousOutcomeError.about(subject, f"{action} took more than {_CALL_TIMEOUT:.0f} s.") from error
        except ThrottledError:
            pace.throttled()
            raise
        except (CredentialsError, UnreachableError):
            self._stale = True
            raise
        pace.passed()
        return response
