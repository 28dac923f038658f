"""One method for each AWS call. None of them retries or decides.

CreateBackup has no idempotency token, so the client has botocore's own retries off, and a failed call says whether its
request may have left the machine. Calls of one operation keep to a share of its documented rate. Each ends by
botocore's timeouts; a name server that hangs, or a response that trickles, holds its thread for longer.
"""

from __future__ import annotations

import os
import re
import threading
from ast import literal_eval
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast
from weakref import WeakKeyDictionary

import botocore.session
from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from botocore import xform_name
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from botocore.endpoint import DEFAULT_TIMEOUT
from botocore.utils import parse_timestamp

from airflow_ddb_backup import exceptions, metrics, models
from airflow_ddb_backup.boto_errors import map_exceptions, told
from airflow_ddb_backup.clock import REQUEST_ID, Clock, headers_of
from airflow_ddb_backup.exceptions import BackupError, ErrorContext, PermanentError
from airflow_ddb_backup.limits import CALL_SECONDS, DOCUMENTED_RATES
from airflow_ddb_backup.models import Backup, BackupArn, Page, RestoreSource, Table
from airflow_ddb_backup.parameters import check_connection_setting
from airflow_ddb_backup.rates import RateLimit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.providers.amazon.aws.utils.connection_wrapper import AwsConnectionWrapper

_T = TypeVar("_T")
_DYNAMODB = "dynamodb"
_TAGGING = "resourcegroupstaggingapi"
_DYNAMODB_ARN = re.compile(r"arn:[a-z0-9-]+:dynamodb:[a-z0-9-]*:(?P<account>[0-9]{12}):")
_READS = ("Describe", "List", "Get", "Scan")
_Question = tuple[str, str, "Mapping[str, Any]"]
_OWN_ARNS = frozenset({"BackupArn", "ResourceARN", "TableArn"})


class DynamoDBBackupHook(AwsBaseHook):
    """Creates, lists, describes, restores and deletes DynamoDB's on-demand backups.

    Takes the arguments of :class:`~airflow.providers.amazon.aws.hooks.base_aws.AwsBaseHook`.
    """

    #: seconds of a connection and of a response, of calls and of those that resolve credentials, unless the user has
    #: set others
    call_seconds: ClassVar[float] = CALL_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "client_type": "dynamodb"})
        # Where neither the task nor the connection names one: that of the task's ARN.
        self._default_region: str | None = None
        #: the region that the calls go to, once it is known
        self.resolved_region: str | None = None
        #: the ``account_id`` of the task; ``None``: any will do
        self.expected_account: str | None = None
        #: the account that the calls go to, once the task or a response has told
        self.account: str | None = None
        # The last call that has told it, and its service.
        self._proof: _Question | None = None
        self._asking = threading.Lock()
        # What the connection gave to each client, and to those that have told the account.
        self._given: WeakKeyDictionary[Any, tuple[Any, ...]] = WeakKeyDictionary()
        self._told: list[tuple[Any, ...]] = []
        self._deletes = False
        #: whether the Airflow connection has been found: then it must be found whenever it is read
        self.connection_found = False
        self._context = ErrorContext()
        #: the time, and AWS's as far as the responses so far tell
        self.clock = Clock()
        self._clients: dict[str, Any] = {}
        self._limits = {operation: RateLimit(rate) for operation, rate in DOCUMENTED_RATES.items()}
        # Of the clients: a task for many tables has several threads.
        self._lock = threading.RLock()
        self._stopped = False
        # Whether this thread's present call has begun to send its request.
        self._calling = threading.local()

    @cached_property
    def conn_config(self) -> AwsConnectionWrapper:
        """The Airflow connection, read again whenever a client is opened again.

        The amazon provider takes the worker's own credentials in place of a connection that is not found: mistyped,
        removed, or its secrets backend down for a moment. Only ``aws_default`` may be missing, from the start, and not
        where something is deleted in an account that nothing else makes certain.

        :raises ConnectionNotFoundError: another is not found, or not any more
        :raises AccountNotCertainError: it is not found, and the task deletes
        """
        config: AwsConnectionWrapper = super().conn_config
        if config or self.aws_conn_id is None:
            self.connection_found = bool(config)
            return config
        is_default = self.aws_conn_id == self.default_conn_name and not self.connection_found
        if is_default and not (self._deletes and self.expected_account is None):
            return config
        # The base class has put it there.
        del self.__dict__["conn_config"]
        kind = exceptions.AccountNotCertainError if is_default else exceptions.ConnectionNotFoundError
        raise kind.about(self._context, f"aws_conn_id is {self.aws_conn_id!r}, which is not found.")

    @property
    def region_name(self) -> str | None:
        """The region of the task or the connection, else of the task's ARN; ``None``: boto3's default.

        It stays as it was resolved: a connection that is read again may name another.
        """
        region: str | None = self.resolved_region or super().region_name or self._default_region
        return region

    @property
    def config(self) -> Config:
        """The user's configuration, also of the calls that resolve credentials: those that hang end in time."""
        config: Config = super().config
        limits = {
            name: self.call_seconds
            for name in ("connect_timeout", "read_timeout")
            if getattr(config, name) == DEFAULT_TIMEOUT
        }
        return config.merge(Config(**limits))

    @cached_property
    def conn(self) -> Any:
        """A client for users' own calls: with botocore's retries, and to the regional host too.

        :raises OtherAccountError: it would be another account's than the calls before it
        """
        self._client_for(self._context)
        session = self.get_session(region_name=self.region_name)
        return self._client(session, _DYNAMODB, self._regional_config(session))

    def resolve_region(self, context: ErrorContext) -> str:
        """Return the region that the calls go to.

        :param context: the table and backup of the calls
        :raises NoRegionSetError: neither the task nor the connection nor the environment names a region
        :raises InvalidValueError: it is none
        """
        with map_exceptions(context, sent=lambda: False):
            region = self.region_name
            if region is None:
                # As boto3 resolves it, from the environment or a profile, and without any call.
                session = botocore.session.Session(profile=self.conn_config.profile_name)
                region = session.get_config_variable("region")
        if region is None:
            raise exceptions.NoRegionSetError.about(context)
        # The connection's, or the environment's: no task has checked it.
        check_connection_setting("region_name", region)
        self.resolved_region = str(region)
        return self.resolved_region

    def open_for(
        self,
        context: ErrorContext,
        arn_region: str | None = None,
        *,
        account_id: str | None = None,
        begun_in: str | None = None,
        deletes: bool = False,
    ) -> ErrorContext:
        """Open the hook for a task, and forget what an earlier execution of the same object has opened.

        :param context: the table and backup of the task
        :param arn_region: the region of the ARN that the task names; ``None``: it names none
        :param account_id: the account that the calls must go to; ``None``: any
        :param begun_in: the account where the task has begun, and goes on; ``None``: it begins
        :param deletes: the task deletes something, so that its account must be certain
        :return: the same with the region that the calls go to
        :raises ConnectionNotFoundError: the Airflow connection is not found
        :raises AccountNotCertainError: it deletes, and would fall back to the worker's own credentials
        :raises NoRegionSetError: nothing names a region
        :raises OtherRegionError: the ARN is of another region; AWS ignores that part of it
        """
        with self._lock:
            self._stopped, self.account, self._proof, self.resolved_region = False, begun_in, None, None
            self._told = []
            self._forget()
        self._default_region, self.expected_account, self._deletes = arn_region, account_id, deletes
        self._context = context
        opened = self._context = replace(context, region=self.resolve_region(context))
        if arn_region not in {None, opened.region}:
            raise exceptions.OtherRegionError.about(opened, f"The ARN is of {arn_region!r}.")
        _ = self.conn_config
        return opened

    def stop(self) -> None:
        """Begin no further call until the hook is opened again: the task has ended, and its threads have not."""
        self._stopped = True

    def open(self, context: ErrorContext, service: str = _DYNAMODB) -> Any:
        """Return a client, and open it first, unless it is open: resolve the credentials, which takes time.

        :param context: the table, backup and region, for messages
        :param service: boto3's name of the service
        :raises BackupError: it can't be opened
        """
        with self._lock:
            if service not in self._clients:
                try:
                    with map_exceptions(context, sent=lambda: False):
                        self._clients[service] = self._open(service)
                except BackupError:
                    self._forget()
                    raise
            return self._clients[service]

    def _forget(self) -> None:
        self._clients = {}
        for cached in ("conn_config", "conn", "_client"):
            self.__dict__.pop(cached, None)

    def describe_table(self, context: ErrorContext, table_name: str) -> Table:
        """Describe a table.

        :param context: the table, backup and region, for messages
        :param table_name: name or ARN
        :raises TableNotFoundError: there is no such table
        :raises BackupError: the call has failed
        """
        return self._call("DescribeTable", context, Table.from_response, TableName=table_name)

    def find_table(self, context: ErrorContext, table_name: str) -> Table | None:
        """Describe a table; ``None``: there is no such table.

        :param context: the table, backup and region, for messages
        :param table_name: name or ARN
        :raises BackupError: the call has failed
        """
        try:
            return self.describe_table(context, table_name)
        except exceptions.TableNotFoundError:
            return None

    def create_backup(self, context: ErrorContext, table_name: str, backup_name: str) -> Backup:
        """Start a backup.

        :param context: the table, backup and region, for messages
        :param table_name: name or ARN
        :param backup_name: 3 to 255 characters of ``[a-zA-Z0-9_.-]``
        :raises AmbiguousOutcomeError: the backup may have been created
        :raises BackupError: the call has failed, and nothing was created
        """
        return self._call("CreateBackup", context, Backup.from_creation, TableName=table_name, BackupName=backup_name)

    def list_backups(
        self,
        context: ErrorContext,
        table_name: str | None,
        *,
        created_since: datetime | None = None,
        cursor: str | None = None,
        kind: str = "USER",
    ) -> Page[Backup]:
        """List a page of on-demand backups of any name.

        :param context: the table, backup and region, for messages
        :param table_name: name or ARN; ``None``: those of all tables of the account and region
        :param created_since: leave out what was requested earlier, by AWS's clock; ``None``: list all
        :param cursor: where the page starts; ``None``: the first
        :param kind: those of users, ``"USER"``, or of anybody, ``"ALL"``
        :raises ListBackupsDeniedError: IAM refuses it
        :raises BackupError: the call has failed
        """
        request: dict[str, Any] = {"BackupType": kind, "TableName": table_name, "TimeRangeLowerBound": created_since}
        return self._call("ListBackups", context, models.read_backup_page, ExclusiveStartBackupArn=cursor, **request)

    def describe_backup(self, arn: BackupArn) -> Backup:
        """Describe a backup, with what it says of the table that was backed up.

        :param arn: the backup
        :raises BackupNotFoundError: there is no such backup
        :raises BackupError: the call has failed
        """
        return self._call("DescribeBackup", arn.context, Backup.from_description, BackupArn=arn.text)

    def restore_table(self, context: ErrorContext, source: RestoreSource, target: str, **overrides: Any) -> Table:
        """Start a restore.

        :param context: the new table, what it is restored from, and region, for messages
        :param source: the backup, or the moment of a table
        :param target: the name of the new table
        :param overrides: further arguments; never an empty structure
        :raises TargetTableExistsError: there is a table of that name
        :raises TableInUseError: a table of that name is being restored
        :raises AmbiguousOutcomeError: the restore may have been started
        :raises BackupError: the call has failed, and nothing was started
        """
        request: dict[str, Any] = {"TargetTableName": target, **overrides}
        if source.backup_arn is not None:
            request["BackupArn"] = source.backup_arn
            return self._call("RestoreTableFromBackup", context, Table.from_restore, **request)
        when = {"UseLatestRestorableTime": True} if source.at is None else {"RestoreDateTime": source.at}
        request |= {"SourceTableArn": source.table_arn, **when}
        return self._call("RestoreTableToPointInTime", context, Table.from_restore, **request)

    def delete_backup(self, arn: BackupArn) -> Backup:
        """Delete a backup, and return it as it was.

        :param arn: the backup
        :raises BackupNotFoundError: there is no such backup, any more
        :raises BackupInUseError: it is being created or restored
        :raises SystemBackupError: it is AWS's own
        :raises BackupError: the call has failed
        """
        return self._call("DeleteBackup", arn.context, Backup.from_description, BackupArn=arn.text)

    def delete_table(self, context: ErrorContext, table_name: str) -> None:
        """Begin to delete a table.

        :param context: the table and region, for messages
        :param table_name: the name
        :raises TableNotFoundError: there is no such table, any more
        :raises TableInUseError: it is CREATING, UPDATING or DELETING
        :raises AmbiguousOutcomeError: it may be DELETING now
        :raises BackupError: the call has failed, and nothing was deleted
        """
        self._call("DeleteTable", context, lambda response: response["TableDescription"], TableName=table_name)

    def count_items(self, context: ErrorContext, table_name: str, cursor: str | None = None) -> Page[int]:
        """Count a page of a table's items, by an eventually consistent Scan.

        :param context: the table and region, for messages
        :param table_name: the name
        :param cursor: where the page starts; ``None``: the first
        :raises BackupError: the call has failed
        """
        start = None if cursor is None else literal_eval(cursor)
        request: dict[str, Any] = {"TableName": table_name, "Select": "COUNT", "ExclusiveStartKey": start}
        return self._call("Scan", context, models.read_count_page, **request)

    def list_tables(self, context: ErrorContext, cursor: str | None = None) -> Page[str]:
        """List a page of the names of all tables of the account and region.

        :param context: the region, for messages
        :param cursor: where the page starts; ``None``: the first
        :raises BackupError: the call has failed
        """
        return self._call("ListTables", context, models.read_table_page, ExclusiveStartTableName=cursor)

    def list_tagged_tables(
        self, context: ErrorContext, tags: Mapping[str, Sequence[str]], cursor: str | None = None
    ) -> Page[str]:
        """List a page of the names of the tables with some tags, among them tables that are gone.

        :param context: the region, for messages
        :param tags: the values that each tag may have; a table has one of each
        :param cursor: where the page starts; ``None``: the first
        :raises BackupError: the call has failed
        """
        request: dict[str, Any] = {
            "ResourceTypeFilters": ["dynamodb:table"],
            "TagFilters": [{"Key": key, "Values": list(values)} for key, values in tags.items()],
            "PaginationToken": cursor,
        }
        return self._call("GetResources", context, models.read_tagged_page, service=_TAGGING, **request)

    def list_tags(self, context: ErrorContext, arn: str, cursor: str | None = None) -> Page[tuple[str, str]]:
        """List a page of a table's tags.

        :param context: the table and region, for messages
        :param arn: the table's ARN
        :param cursor: where the page starts; ``None``: the first
        :raises BackupError: the call has failed
        """
        return self._call("ListTagsOfResource", context, models.read_tag_page, ResourceArn=arn, NextToken=cursor)

    def call(
        self,
        operation: str,
        context: ErrorContext,
        *,
        needs: str | None = None,
        service: str = _DYNAMODB,
        **request: Any,
    ) -> Mapping[str, Any]:
        """Make a call that reads or changes a setting of a table, and return its response as it is.

        :param operation: such as ``UpdateTable``
        :param context: the table and region, for messages
        :param needs: a member without which a response is not AWS's; ``None``: none is needed
        :param service: boto3's name of the service
        :param request: the arguments; ``None``: left out
        :raises BackupError: the call has failed
        """

        def whole(response: Mapping[str, Any]) -> Mapping[str, Any]:
            _ = needs and response[needs]
            return response

        return self._call(operation, context, whole, service=service, **request)

    def _call(
        self,
        operation: str,
        context: ErrorContext,
        read: Callable[[Mapping[str, Any]], _T],
        *,
        service: str = _DYNAMODB,
        **request: Any,
    ) -> _T:
        self._wait_for_rate(operation, context)
        is_change = not operation.startswith(_READS)
        client = self._client_for(context, service, request.get("TableName") if is_change else None)
        return self._send(client, operation, context, read, request)

    def _wait_for_rate(self, operation: str, context: ErrorContext) -> None:
        limit = self._limits.get(operation)
        # A thread that waits longer than this would hold up its table's other work.
        if limit and not limit.acquire(self.call_seconds):
            raise exceptions.ThrottledError.about(context, f"Too many {operation} calls are queued in this task.")

    def _client_for(self, context: ErrorContext, service: str = _DYNAMODB, table_name: str | None = None) -> Any:
        """Return a client of the account that has been told; one of a changed connection is asked for it first.

        A connection that was read again may be another account's by now: what that account does not have would pass
        for gone, and what it has for this one's. One that gives the same as before leads to the same. The call that
        has told the account before is asked.

        :param context: the table, backup and region, for messages
        :param service: boto3's name of the service
        :param table_name: a table that is to be changed: where nothing has told the account that the task must have,
            it is described first
        :raises OtherAccountError: another, or nothing tells it
        :raises AccountNotConfirmedError: what has told it tells it no longer
        """
        known = self.account or self.expected_account
        first = (_DYNAMODB, "DescribeTable", {"TableName": table_name}) if table_name and known else None
        while True:
            client = self.open(context, service)
            if (self._proof or first) is None or self._given[client] in self._told:
                return client
            # One thread asks for all of them.
            with self._asking:
                if self._given[self.open(context, service)] not in self._told:
                    self._ask(context, first)

    def _ask(self, context: ErrorContext, first: _Question | None) -> None:
        """Ask present clients for their account, by the call that has told it last; where none has, by the first."""
        proof, known = self._proof, self.account or self.expected_account
        service, operation, request = cast("_Question", proof or first)
        kind = exceptions.AccountNotConfirmedError if proof else exceptions.OtherAccountError
        detail = f"{operation} tells no account, which must be {known!r}."
        self._wait_for_rate(operation, context)
        client = self.open(context, service)
        try:
            self._send(client, operation, context, lambda response: response, request)
        except exceptions.AmbiguousOutcomeError as error:
            # It is only read: what it is asked before has not been sent.
            cause = error.__cause__ or error
            raise exceptions.UnreachableError.about(context, told(cause)) from cause
        except (PermanentError, exceptions.BackupNotFoundError) as error:
            if proof is None or isinstance(error, exceptions.AccountError):
                raise
            raise kind.about(context, f"{told(error.__cause__ or error)} {detail}") from error
        if self._given[client] not in self._told:
            raise kind.about(context, detail)

    def _send(
        self,
        client: Any,
        operation: str,
        context: ErrorContext,
        read: Callable[[Mapping[str, Any]], _T],
        request: Mapping[str, Any],
    ) -> _T:
        if self._stopped:
            message = f"{operation} was not called, since the task has ended: {context}."
            raise BackupError(message)
        self._calling.sent = False
        called_at = self.clock.monotonic()
        given = {name: value for name, value in request.items() if value is not None}
        try:
            with metrics.calling(operation, context.region), map_exceptions(context, sent=lambda: self._calling.sent):
                response: Mapping[str, Any] = getattr(client, xform_name(operation))(**given)
                _check_origin(response, operation, context)
                self.clock.observe_response(response, called_at)
                if self._observe_account(response, context, client) and operation.startswith(_READS):
                    self._proof = client.meta.service_model.service_name, operation, given
                return read(response)
        except BackupError as error:
            self.clock.observe_response(getattr(error.__cause__, "response", None) or {}, called_at)
            self._learn_from(error, operation, client)
            if isinstance(error, exceptions.AmbiguousOutcomeError):
                error.began_at = called_at
            raise

    def _learn_from(self, error: BackupError, operation: str, client: Any) -> None:
        """Slow down after a throttled call; after refused credentials or a dead endpoint, open a new client."""
        limit = self._limits.get(operation)
        if limit and isinstance(error, exceptions.ThrottledError):
            limit.throttled()
        if isinstance(error, exceptions.CredentialsError | exceptions.UnreachableError):
            with self._lock:
                # Unless another thread has done so since this one was used.
                if client in self._clients.values():
                    self._forget()

    def _observe_account(self, response: Mapping[str, Any], context: ErrorContext, client: Any) -> bool:
        """Learn from a response's ARNs which account it is of; it must be one for all of an execution.

        :return: whether it tells that
        :raises OtherAccountError: another than ``account_id``, or than before
        """
        if (account := _account_of(response)) is None:
            return False
        if self.expected_account not in {None, account}:
            detail = f"The calls go to account {account!r}, account_id is {self.expected_account!r}."
            raise exceptions.OtherAccountError.about(context, detail)
        if self.account not in {None, account}:
            detail = f"The calls go to account {account!r}, and went to {self.account!r} before."
            raise exceptions.OtherAccountError.about(context, detail)
        if not self._told:
            self.log.info("AWS account %s, region %s", account, self._context.region)
        self.account = account
        if self._given[client] not in self._told:
            self._told.append(self._given[client])
        return True

    def limited_config(self, session: Any, **options: Any) -> Config:
        """Return a client's configuration: the user's, without botocore's retries and with short timeouts.

        :param session: boto3's session, of which the client is made
        :param options: more arguments of :class:`botocore.config.Config`
        """
        config = self._regional_config(session)
        limits = {
            name: min(getattr(config, name) or self.call_seconds, self.call_seconds)
            for name in ("connect_timeout", "read_timeout")
        }
        # The adaptive mode would slow down by itself, and all accounts that share a client alike.
        retries = {"mode": "legacy", "total_max_attempts": 1}
        return config.merge(Config(retries=retries, **limits, **options))

    def _regional_config(self, session: Any) -> Config:
        """Return the user's configuration, by which all calls go to the regional host, those with an ARN too.

        These would go to another that networks may not allow, unless the configuration, the environment or the profile
        says otherwise.
        """
        mode = "account_id_endpoint_mode"
        decided = getattr(self.config, mode) or f"AWS_{mode.upper()}" in os.environ or mode in scoped_config(session)
        return self.config if decided else self.config.merge(Config(**{mode: "disabled"}))

    def _open(self, service: str) -> Any:
        session = self.get_session(region_name=self.region_name)
        # botocore's own way takes as long as all else that it does with a page of backups.
        parsers = session._session.get_component("response_parser_factory")  # noqa: SLF001  # boto3 has no other way
        parsers.set_parser_defaults(timestamp_parser=_read_time)
        client = self._client(session, service, self.limited_config(session))
        credentials = session.get_credentials()
        # Those of a role, a web identity or a machine are new each time, and of what the connection names.
        is_new = credentials is None or isinstance(credentials, RefreshableCredentials)
        self._given[client] = None if is_new else credentials.access_key, self.conn_config.extra_config
        client.meta.events.register("before-send", self._note_sending)
        return client

    def _client(self, session: Any, service: str, config: Config) -> Any:
        # As get_client_type() does, which knows one service only.
        endpoint_url = self.conn_config.get_service_endpoint_url(service)
        return session.client(service, endpoint_url=endpoint_url, config=self._get_config(config), verify=self.verify)

    def _note_sending(self, **_: Any) -> None:
        self._calling.sent = True


def scoped_config(session: Any) -> Mapping[str, Any]:
    """Return the profile of the configuration files that a session of boto3 has.

    :param session: the session
    """
    profile: Mapping[str, Any] = session._session.get_scoped_config()  # noqa: SLF001  # boto3 has no other way
    return profile


def _read_time(value: Any) -> datetime:
    """Read a time of a response: seconds since 1970, or a text."""
    return datetime.fromtimestamp(value, tz=UTC) if isinstance(value, int | float) else parse_timestamp(value)


def _check_origin(response: Mapping[str, Any], operation: str, context: ErrorContext) -> None:
    """Refuse a proxy's page of HTML, which botocore takes for a response without members.

    The media type alone says too little: emulators may use it too.

    :raises AmbiguousOutcomeError: it is one
    """
    headers = headers_of(response)
    if REQUEST_ID not in headers and headers.get("content-type", "").startswith("text/html"):
        detail = f"{operation} was answered by a page of HTML, as a proxy sends it."
        raise exceptions.AmbiguousOutcomeError.about(context, detail)


def _account_of(content: Any) -> str | None:
    """Return the account of the first table or backup in a response, by its ARN; a tag's value may be any ARN."""
    if isinstance(content, list):
        return next(filter(None, map(_account_of, content)), None)
    for name, value in content.items() if isinstance(content, dict) else ():
        match = _DYNAMODB_ARN.match(str(value)) if name in _OWN_ARNS else None
        if account := match["account"] if match else _account_of(value):
            return account
    return None
