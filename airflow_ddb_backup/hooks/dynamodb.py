"""One method for each AWS call. None of them retries or decides.

CreateBackup has no idempotency token, so the client has botocore's own retries off, and a failed call says whether its
request may have left the machine. Calls of one operation keep to a share of its documented rate. A call ends within
:attr:`DynamoDBBackupHook.call_seconds`, even if the server, STS or DNS hang: it runs in a thread. A thread that takes
longer is left behind, and can no longer send anything.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from concurrent.futures import Future
from contextvars import ContextVar, copy_context
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import botocore.session
from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from botocore import xform_name
from botocore.config import Config
from botocore.endpoint import DEFAULT_TIMEOUT

from airflow_ddb_backup.exceptions import (
    AmbiguousOutcomeError,
    BackupError,
    CredentialsError,
    ErrorContext,
    NoRegionSetError,
    ThrottledError,
    UnreachableError,
    map_exceptions,
)
from airflow_ddb_backup.models import (
    AwsClock,
    Backup,
    BackupArn,
    BackupDescription,
    BackupPage,
    Table,
    TablePage,
    TagPage,
)
from airflow_ddb_backup.rates import DOCUMENTED_RATES, RateLimit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

_T = TypeVar("_T")
_DYNAMODB = "dynamodb"
_TAGGING = "resourcegroupstaggingapi"


class DynamoDBBackupHook(AwsBaseHook):
    """Creates, lists, describes, restores and deletes DynamoDB's on-demand backups.

    Takes the arguments of :class:`~airflow.providers.amazon.aws.hooks.base_aws.AwsBaseHook`.

    :param default_region: the region where neither ``region_name`` nor the connection names one, such as that of an
        ARN; ``None``: boto3's default
    """

    #: seconds that a call may take: DynamoDB answers in milliseconds, and botocore would wait for 60 s
    call_seconds: ClassVar[float] = 10.0
    #: seconds of the connections that resolve credentials, unless the user has set others: botocore's 60 are longer
    #: than anyone waits for them
    credentials_seconds: ClassVar[float] = 10.0

    def __init__(self, *args: Any, default_region: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "client_type": "dynamodb"})
        self.default_region = default_region
        #: AWS's clock, as far as the responses so far tell
        self.clock = AwsClock()
        self._opening: dict[str, Future[Any]] = {}
        self._limits = {operation: RateLimit(rate) for operation, rate in DOCUMENTED_RATES.items()}
        self._creations: defaultdict[str, list[Future[Any]]] = defaultdict(list)
        #: when the last CreateBackup call for a table began, after it had waited for the rate, by the monotonic clock
        self.creation_began: dict[str, float] = {}
        # Of the clients: a task for many tables has several threads.
        self._lock = threading.RLock()

    @property
    def region_name(self) -> str | None:
        """The region of the task or the connection, else ``default_region``; ``None``: boto3's default."""
        region: str | None = super().region_name or self.default_region
        return region

    @property
    def config(self) -> Config:
        """The user's configuration, also of the calls that resolve credentials: those that hang end in time."""
        config: Config = super().config
        limits = {
            name: self.credentials_seconds
            for name in ("connect_timeout", "read_timeout")
            if getattr(config, name) == DEFAULT_TIMEOUT
        }
        return config.merge(Config(**limits))

    def resolve_region(self, context: ErrorContext) -> str:
        """Return the region that the calls go to.

        :param context: the table and backup of the calls
        :raises NoRegionSetError: neither the task nor the connection nor the environment names a region
        """
        with map_exceptions(context, sent=lambda: False):
            region = self.region_name
            if region is None:
                # As boto3 resolves it, from the environment or a profile, and without any call.
                session = botocore.session.Session(profile=self.conn_config.profile_name)
                region = session.get_config_variable("region")
        if region is None:
            raise NoRegionSetError.about(context)
        return str(region)

    def reopen(self) -> None:
        """Forget connection, credentials and clients: the next call reads them anew."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._opening = {}
        for cached in ("conn_config", "conn", "_client"):
            self.__dict__.pop(cached, None)

    def may_still_create(self, table_name: str) -> bool:
        """Return whether a CreateBackup call that took too long may still be sent, or answered.

        :param table_name: name or ARN, as the call had it
        """
        return not all(creation.done() for creation in self._creations[table_name])

    def describe_table(self, context: ErrorContext, table_name: str) -> Table:
        """Describe a table.

        :param context: the table, backup and region, for messages
        :param table_name: name or ARN
        :raises TableNotFoundError: there is no such table
        :raises BackupError: the call has failed
        """
        return self._call("DescribeTable", context, Table.from_response, TableName=table_name)

    def point_in_time_recovery_status(self, context: ErrorContext, table_name: str) -> str:
        """Return the status of a table's point-in-time recovery: ``ENABLED`` or ``DISABLED``.

        :param context: the table, backup and region, for messages
        :param table_name: name or ARN
        :raises BackupError: the call has failed
        """
        return self._call("DescribeContinuousBackups", context, _recovery_status, TableName=table_name)

    def create_backup(self, context: ErrorContext, table_name: str, backup_name: str) -> Backup:
        """Start a backup.

        :param context: the table, backup and region, for messages
        :param table_name: name or ARN
        :param backup_name: 3 to 255 characters of ``[a-zA-Z0-9_.-]``
        :raises AmbiguousOutcomeError: the backup may have been created, or an earlier call is still under way
        :raises BackupError: the call has failed, and nothing was created
        """
        if self.may_still_create(table_name):
            # Its thread may hang before the request leaves, in DNS say, and send it later.
            raise AmbiguousOutcomeError.about(context, "An earlier CreateBackup call has not ended yet.")
        request = {"TableName": table_name, "BackupName": backup_name}
        return self._call("CreateBackup", context, Backup.from_creation, **request)

    def list_backups(
        self,
        context: ErrorContext,
        table_name: str | None,
        *,
        created_since: datetime | None = None,
        cursor: str | None = None,
    ) -> BackupPage:
        """List a page of on-demand backups, of whatever name.

        :param context: the table, backup and region, for messages
        :param table_name: name or ARN; ``None``: those of all tables of the account and region
        :param created_since: leave out what was requested earlier, by AWS's clock; ``None``: list all
        :param cursor: where the page starts; ``None``: the first
        :raises ListBackupsDeniedError: IAM refuses it
        :raises BackupError: the call has failed
        """
        request: dict[str, Any] = {"BackupType": "USER"}
        if table_name is not None:
            request["TableName"] = table_name
        if created_since is not None:
            request["TimeRangeLowerBound"] = created_since
        if cursor is not None:
            request["ExclusiveStartBackupArn"] = cursor
        return self._call("ListBackups", context, BackupPage.from_response, **request)

    def describe_backup(self, arn: BackupArn) -> Backup:
        """Describe a backup.

        :param arn: the backup
        :raises BackupNotFoundError: there is no such backup
        :raises BackupError: the call has failed
        """
        return self._call("DescribeBackup", arn.context, Backup.from_description, BackupArn=arn.text)

    def describe_backup_in_full(self, arn: BackupArn) -> BackupDescription:
        """Describe a backup, with what it says of the table that was backed up.

        :param arn: the backup
        :raises BackupNotFoundError: there is no such backup
        :raises BackupError: the call has failed
        """
        return self._call("DescribeBackup", arn.context, BackupDescription.from_response, BackupArn=arn.text)

    def restore_table(self, context: ErrorContext, arn: BackupArn, target: str, **overrides: Any) -> Table:
        """Start the restore of a backup.

        :param context: the new table, backup and region, for messages
        :param arn: the backup
        :param target: the name of the new table
        :param overrides: RestoreTableFromBackup's further arguments; never an empty structure
        :raises TargetTableExistsError: there is a table of that name
        :raises TableInUseError: a table of that name is being restored
        :raises AmbiguousOutcomeError: the restore may have been started
        :raises BackupError: the call has failed, and nothing was started
        """
        request = {"BackupArn": arn.text, "TargetTableName": target, **overrides}
        return self._call("RestoreTableFromBackup", context, Table.from_restore, **request)

    def delete_backup(self, arn: BackupArn) -> Backup:
        """Delete a backup, and return it as it was.

        :param arn: the backup
        :raises BackupNotFoundError: there is no such backup, any more
        :raises BackupInUseError: it is being created or restored
        :raises SystemBackupError: it is AWS's own
        :raises BackupError: the call has failed
        """
        return self._call("DeleteBackup", arn.context, Backup.from_description, BackupArn=arn.text)

    def list_tables(self, context: ErrorContext, cursor: str | None = None) -> TablePage:
        """List a page of the names of all tables of the account and region.

        :param context: the region, for messages
        :param cursor: where the page starts; ``None``: the first
        :raises BackupError: the call has failed
        """
        request = {"ExclusiveStartTableName": cursor} if cursor else {}
        return self._call("ListTables", context, TablePage.from_response, **request)

    def list_tagged_tables(
        self, context: ErrorContext, tags: Mapping[str, Sequence[str]], cursor: str | None = None
    ) -> TablePage:
        """List a page of the names of the tables with some tags, among them tables that are gone.

        :param context: the region, for messages
        :param tags: the values that each tag may have; a table has one of each
        :param cursor: where the page starts; ``None``: the first
        :raises BackupError: the call has failed
        """
        request: dict[str, Any] = {
            "ResourceTypeFilters": ["dynamodb:table"],
            "TagFilters": [{"Key": key, "Values": list(values)} for key, values in tags.items()],
        }
        if cursor:
            request["PaginationToken"] = cursor
        return self._call("GetResources", context, TablePage.from_tagged, service=_TAGGING, **request)

    def list_tags(self, context: ErrorContext, arn: str, cursor: str | None = None) -> TagPage:
        """List a page of a table's tags.

        :param context: the table and region, for messages
        :param arn: the table's ARN
        :param cursor: where the page starts; ``None``: the first
        :raises BackupError: the call has failed
        """
        request = {"ResourceArn": arn} | ({"NextToken": cursor} if cursor else {})
        return self._call("ListTagsOfResource", context, TagPage.from_response, **request)

    def call(
        self, operation: str, context: ErrorContext, *, service: str = _DYNAMODB, **request: Any
    ) -> Mapping[str, Any]:
        """Make a call that reads or changes a setting of a table, and return its response as it is.

        :param operation: such as ``UpdateTable``
        :param context: the table and region, for messages
        :param service: boto3's name of the service
        :param request: the arguments
        :raises BackupError: the call has failed
        """
        return self._call(operation, context, _as_it_is, service=service, **request)

    def _call(
        self,
        action: str,
        context: ErrorContext,
        read: Callable[[Mapping[str, Any]], _T],
        *,
        service: str = _DYNAMODB,
        **request: Any,
    ) -> _T:
        # The wait for the rate is a part of the call: it must not outlive a task's timeout.
        began_at = monotonic()
        limit = self._limits.get(action)
        # Where many threads wait in turn, what is left must still do for the call itself.
        if limit and not limit.acquire(self.call_seconds / 2):
            raise ThrottledError.about(context, f"Too many calls of {action} wait for their turn here already.")
        client = self._client_for(service, context)
        sending = _Sending()

        def call() -> Mapping[str, Any]:
            _SENDING.set(sending)
            with map_exceptions(context, sent=lambda: sending.begun):
                response: Mapping[str, Any] = getattr(client, xform_name(action))(**request)
                return response

        called_at = time.monotonic()
        calling = run_in_thread(call)
        if action == "CreateBackup":
            self.creation_began[request["TableName"]] = called_at
            self._creations[request["TableName"]].append(calling)
        try:
            response = calling.result(self.call_seconds - (monotonic() - began_at))
        except TimeoutError as error:
            kind = AmbiguousOutcomeError if sending.abandon() else UnreachableError
            raise kind.about(context, f"{action} took more than {self.call_seconds:g} s.") from error
        except BackupError as error:
            self._observe_clock(getattr(error.__cause__, "response", None) or {}, called_at)
            if limit and isinstance(error, ThrottledError):
                limit.throttled()
            if isinstance(error, CredentialsError | UnreachableError):
                self._reopen_after(client, service)
            raise
        self._observe_clock(response, called_at)
        with map_exceptions(context):
            return read(response)

    def _observe_clock(self, response: Mapping[str, Any], called_at: float) -> None:
        headers = (response.get("ResponseMetadata") or {}).get("HTTPHeaders") or {}
        # A proxy's response has a date too, by the proxy's clock.
        if "x-amzn-requestid" in headers:
            self.clock.observe(headers.get("date"), called_at, time.monotonic())

    def _client_for(self, service: str, context: ErrorContext) -> Any:
        """Return a client, opening it first; one that took too long is waited for again by the next call."""
        opening = self._opening.get(service)
        try:
            if opening is None:
                opening = self._start_opening(service)
            # The rest of the time is the request's own.
            return opening.result(self.call_seconds / 2)
        except Exception as error:
            if opening and not opening.done():
                detail = f"No credentials after {self.call_seconds / 2:g} s."
                raise UnreachableError.about(context, detail) from error
            self.reopen()
            with map_exceptions(context, sent=lambda: False):
                raise error from None

    def _start_opening(self, service: str) -> Future[Any]:
        with self._lock:
            if service not in self._opening:
                # Here and not in the thread: reading a connection is Airflow's own call.
                _ = self.conn_config
                self._opening[service] = run_in_thread(partial(self._open, service))
            return self._opening[service]

    def _reopen_after(self, client: Any, service: str) -> None:
        """Open the clients anew, unless another thread has done so since this one was used."""
        with self._lock:
            opening = self._opening.get(service)
            if opening and opening.done() and not opening.exception() and opening.result() is client:
                self._forget()

    def limited_config(self, **options: Any) -> Config:
        """Return a client's configuration: the user's, without botocore's retries and with short timeouts.

        :param options: more arguments of :class:`botocore.config.Config`
        """
        config = self.config
        limits = {
            name: min(getattr(config, name) or self.call_seconds, self.call_seconds)
            for name in ("connect_timeout", "read_timeout")
        }
        return config.merge(Config(retries={"total_max_attempts": 1}, **limits, **options))

    def _open(self, service: str) -> Any:
        # As get_client_type() does, which knows one service only.
        client = self.get_session(region_name=self.region_name).client(
            service,
            endpoint_url=self.conn_config.get_service_endpoint_url(service),
            config=self._get_config(self.limited_config()),
            verify=self.verify,
        )
        client.meta.events.register("before-send", _before_send)
        return client


class _Sending:
    """Whether a call has begun to send its request; a call that was abandoned before never does."""

    def __init__(self) -> None:
        self.begun = False
        self._abandoned = False
        self._lock = threading.Lock()

    def begin(self) -> None:
        with self._lock:
            if self._abandoned:
                message = "the call was abandoned before it was sent"
                raise TimeoutError(message)
            self.begun = True

    def abandon(self) -> bool:
        """Let the call send nothing any more; return whether it has begun to."""
        with self._lock:
            self._abandoned = True
            return self.begun


_SENDING: ContextVar[_Sending] = ContextVar("_SENDING")


def _before_send(**_: Any) -> None:
    if sending := _SENDING.get(None):
        sending.begin()


def run_in_thread(function: Callable[[], _T]) -> Future[_T]:
    """Run a function in a thread that the process does not wait for at its end.

    :param function: may hang: the thread is left behind then
    """
    future: Future[_T] = Future()
    context = copy_context()

    def run() -> None:
        # From here on nobody can cancel it: a late result is dropped with the future.
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(context.run(function))
        except Exception as error:  # noqa: BLE001  # raised where the result is asked for
            future.set_exception(error)
        except BaseException as error:  # noqa: BLE001  # a credential provider that exits must not end the process
            future.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))

    threading.Thread(target=run, name="dynamodb", daemon=True).start()
    return future


def _as_it_is(response: Mapping[str, Any]) -> Mapping[str, Any]:
    return response


def _recovery_status(response: Mapping[str, Any]) -> str:
    recovery = response["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    return str(recovery.get("PointInTimeRecoveryStatus", "not known"))
