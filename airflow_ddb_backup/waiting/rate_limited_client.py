"""DynamoDB's asynchronous client, within AWS's rates, and with nothing on the event loop that can block it.

Reading the Airflow connection, files and STS block, and the session that the amazon provider gives aiobotocore renews a
role's credentials by a synchronous call on the loop. So a thread makes boto3's own session, resolves and freezes its
credentials, and reads the models that a client is made of; the client on the loop has nothing but these credentials,
which a thread renews before they expire. A thread that hangs is left behind, so it returns nothing that would have to
be closed.

AWS's rates are an account's and a region's, so the clients of one account and region share their limits.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from weakref import WeakValueDictionary

import botocore.session
from asgiref.sync import sync_to_async
from botocore import UNSIGNED, xform_name
from botocore.exceptions import NoCredentialsError
from botocore.loaders import Loader

from airflow_ddb_backup.boto_errors import from_boto, map_exceptions
from airflow_ddb_backup.exceptions import (
    AmbiguousOutcomeError,
    BackupError,
    CredentialsError,
    ErrorContext,
    PermanentError,
    ThrottledError,
    UnreachableError,
)
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook
from airflow_ddb_backup.limits import DOCUMENTED_RATES
from airflow_ddb_backup.models import Backup, Page, Table, read_sweep_page
from airflow_ddb_backup.rates import RateLimit, Rates
from airflow_ddb_backup.waiting.threads import run_in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from airflow_ddb_backup.models import BackupArn
    from airflow_ddb_backup.waiting.planner import Sweep

log = logging.getLogger(__name__)

_T = TypeVar("_T")
# DynamoDB answers these calls in milliseconds; botocore would wait for 60 s, and everyone with it.
_CALL_SECONDS = 10.0
# STS and an identity provider may take some seconds; the waits go on meanwhile.
_OPENING_SECONDS = 30.0
# After a failure the client is not opened again sooner, however many calls wait for it.
_REOPENED_AFTER = 5.0
# A thread that hangs can't be ended: no more than so many are started in so many seconds, while none of them ends.
_MOST_PREPARING = 3
_PREPARING_PERIOD = 600.0
# botocore renews credentials from 15 minutes before their end; asking for them earlier costs nothing.
_RENEWAL_INTERVAL = 60.0
# As many calls as the share of a documented rate begins in the time that one may take.
_CONNECTIONS = 50
# Shared, since it keeps the models that it has read, some MB.
_LOADER = Loader()


@dataclass(frozen=True, slots=True)
class AwsSettings:
    """The four AWS settings of a task.

    :param aws_conn_id: the Airflow connection
    :param region_name: the region
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    """

    aws_conn_id: str | None
    region_name: str
    verify: bool | str | None
    botocore_config: dict[str, Any] | None

    def key(self) -> str:
        """Return a text that is the same for equal settings."""
        return json.dumps(asdict(self), sort_keys=True, default=repr)

    def hook(self) -> DynamoDBBackupHook:
        """Return a new hook, which reads the Airflow connection anew."""
        settings: dict[str, Any] = {
            "region_name": self.region_name,
            "verify": self.verify,
            "config": self.botocore_config,
        }
        return DynamoDBBackupHook(self.aws_conn_id, **settings)


class RateLimits:
    """The limits of one account and region, shared by all clients of an event loop."""

    # Weak, so that they end with their last client. A living one keeps its loop, and so the loop's id.
    _shared: ClassVar[WeakValueDictionary[tuple[int, str, str, str], RateLimits]] = WeakValueDictionary()

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = {operation: RateLimit(rate, self._loop.time) for operation, rate in DOCUMENTED_RATES.items()}

    @classmethod
    def of(cls, arn: BackupArn, region_name: str) -> RateLimits:
        """Return the limits of the running event loop for a backup's account.

        :param arn: the backup
        :param region_name: the region of the calls
        """
        key = id(asyncio.get_running_loop()), arn.partition, arn.account, region_name
        return cls._shared.get(key) or cls._shared.setdefault(key, cls())

    def now(self) -> Rates:
        """Return the calls per second that each operation has now."""
        describe, sweep = (self._limits[operation].per_second() for operation in ("DescribeBackup", "ListBackups"))
        return Rates(describe, sweep)

    async def acquire(self, operation: str) -> None:
        """Wait until a call may be made.

        :param operation: the operation
        """
        await self._limits[operation].turn()

    def throttled(self, operation: str) -> None:
        """Take in that a call was throttled.

        :param operation: the operation
        """
        self._limits[operation].throttled()


class _OpenClient:
    """An aiobotocore client with its resources. One that is replaced is closed when its calls have ended."""

    def __init__(self, client: Any, resources: AsyncExitStack) -> None:
        self._client = client
        self._resources = resources
        self._calls = 0
        self._retired = False
        self._closing: asyncio.Future[None] | None = None

    @asynccontextmanager
    async def used(self) -> AsyncIterator[Any]:
        self._calls += 1
        try:
            yield self._client
        finally:
            self._calls -= 1
            if self._retired and not self._calls:
                await self.close()

    async def retire(self) -> None:
        self._retired = True
        if not self._calls:
            await self.close()

    async def close(self) -> None:
        # The caller may be cancelled meanwhile; the closing goes on, and the next caller waits for its end.
        self._closing = self._closing or asyncio.ensure_future(self._resources.aclose())
        await asyncio.shield(self._closing)

    @property
    def is_closed(self) -> bool:
        return self._closing is not None and self._closing.done()


class RateLimitedClient:
    """One aiobotocore client, opened again when its credentials or its endpoint are refused.

    Before a call, :meth:`RateLimits.acquire` waits until the rate allows it. The pollers and triggers of one event loop
    with the same settings share one client (:meth:`of`), which ends with the last of them.

    :param settings: the AWS settings
    :param limits: the rate limits of the account and region
    """

    # Weak, as the limits are.
    _shared: ClassVar[WeakValueDictionary[tuple[int, int, str], RateLimitedClient]] = WeakValueDictionary()

    def __init__(self, settings: AwsSettings, limits: RateLimits) -> None:
        self._settings = settings
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._context = ErrorContext(region=settings.region_name)
        self._open_client: _OpenClient | None = None
        self._replaced: list[_OpenClient] = []
        self._opening = asyncio.Lock()
        self._failure: BackupError | None = None
        self._failed_at = float("-inf")
        self._refusals = 0
        self._preparing: dict[object, float] = {}
        #: how many pollers and triggers have asked for it, and not closed it yet
        self.users = 0

    @classmethod
    def of(cls, settings: AwsSettings, limits: RateLimits) -> RateLimitedClient:
        """Return the client of the running event loop, to be closed by everyone who has asked for it.

        :param settings: the AWS settings
        :param limits: the rate limits of the account and region
        """
        # A living client keeps its loop and its limits, and so their ids.
        key = id(asyncio.get_running_loop()), id(limits), settings.key()
        client = cls._shared.get(key) or cls._shared.setdefault(key, cls(settings, limits))
        client.users += 1
        return client

    async def open(self) -> None:
        """Open the client, unless it is open.

        :raises BackupError: it can't be opened; none that ends a wait
        """
        async with self._opening:
            if self._open_client is not None:
                return
            if self._failure and self._loop.time() < self._failed_at + _REOPENED_AFTER:
                raise self._failure
            try:
                self._open_client = await self._open()
            except Exception as error:
                self._failure, self._failed_at = self._opening_failure(error), self._loop.time()
                raise self._failure from error
            self._failure = None

    async def close(self) -> None:
        """Close the client, and those that it has replaced, unless there are others who use it."""
        self.users -= 1
        if self.users > 0:
            return
        for key, client in list(self._shared.items()):
            if client is self:
                del self._shared[key]
        clients, self._open_client = [*self._replaced, self._open_client], None
        closing = (client.close() for client in clients if client)
        for failure in await asyncio.gather(*closing, return_exceptions=True):
            if failure:
                log.warning("A client could not be closed: %r", failure)

    async def describe_backup(self, arn: BackupArn) -> Backup:
        """Describe a backup.

        :param arn: the backup
        :raises BackupError: the call has failed
        """
        return await self._call("DescribeBackup", arn.context, Backup.from_description, BackupArn=arn.text)

    async def describe_table(self, context: ErrorContext, table_name: str) -> Table:
        """Describe a table.

        :param context: the table, backup and region, for messages
        :param table_name: the name
        :raises BackupError: the call has failed
        """
        return await self._call("DescribeTable", context, Table.from_response, TableName=table_name)

    async def list_backups(self, sweep: Sweep, cursor: str | None) -> Page[Backup]:
        """List a page of the account's on-demand backups.

        :param sweep: when they were created
        :param cursor: where the page starts; ``None``: the first
        :raises BackupError: the call has failed
        """
        request: dict[str, Any] = {
            "BackupType": "USER",
            "TimeRangeLowerBound": sweep.lower,
            "TimeRangeUpperBound": sweep.upper,
        }
        if cursor is not None:
            request["ExclusiveStartBackupArn"] = cursor
        return await self._call("ListBackups", self._context, read_sweep_page, **request)

    async def _call(
        self, operation: str, context: ErrorContext, read: Callable[[Mapping[str, Any]], _T], **request: Any
    ) -> _T:
        await self.open()
        current = self._open_client
        if current is None:
            raise UnreachableError.about(context, "The client was closed.")
        try:
            async with current.used() as client, asyncio.timeout(_CALL_SECONDS):
                with map_exceptions(context):
                    result = read(await getattr(client, xform_name(operation))(**request))
        except TimeoutError as error:
            raise AmbiguousOutcomeError.about(context, f"{operation} took more than {_CALL_SECONDS:.0f} s.") from error
        except ThrottledError:
            self._limits.throttled(operation)
            raise
        except (CredentialsError, UnreachableError) as error:
            if self._open_client is current:
                self._open_client = None
                self._hold_back(error)
                await self._replace(current)
            raise

        self._refusals = 0
        return result

    def _hold_back(self, refusal: BackupError) -> None:
        """Open the client at once after one refusal, and later after more in a row: STS has limits too."""
        self._refusals += 1
        if self._refusals > 1:
            cause = refusal.__cause__
            self._failure = from_boto(cause, self._context) if isinstance(cause, Exception) else refusal
            self._failed_at = self._loop.time()

    async def _replace(self, client: _OpenClient) -> None:
        # Those before it have ended by now, or end with the poller: a call takes ten seconds at most.
        self._replaced = [one for one in self._replaced if not one.is_closed]
        self._replaced.append(client)
        await client.retire()

    async def _open(self) -> _OpenClient:
        limit = asyncio.timeout(_OPENING_SECONDS)
        try:
            async with limit:
                return await self._open_now()
        except TimeoutError as error:
            # A system's timeout has the same class.
            if limit.expired():
                detail = f"No credentials after {_OPENING_SECONDS:.0f} s."
                raise UnreachableError.about(self._context, detail) from error
            raise

    async def _open_now(self) -> _OpenClient:
        async with AsyncExitStack() as resources:
            prepared = await _in_thread(self._prepared())
            prepared.session.set_credentials(*prepared.frozen)
            client = await resources.enter_async_context(
                prepared.session.create_client(
                    "dynamodb",
                    region_name=self._settings.region_name,
                    endpoint_url=prepared.endpoint_url,
                    verify=prepared.verify,
                    config=prepared.config,
                )
            )
            if hasattr(prepared.credentials, "refresh_needed"):
                # Not in the context of the trigger that happens to open it.
                renewing = self._loop.create_task(_renew(prepared), context=contextvars.Context())
                resources.push_async_callback(_stop, renewing)
            return _OpenClient(client, resources.pop_all())

    def _prepared(self) -> Callable[[], _Prepared]:
        """Return what prepares a client in a thread, unless too many such threads hang already."""
        now = self._loop.time()
        recent = [began for began in list(self._preparing.values()) if now - began < _PREPARING_PERIOD]
        if len(recent) >= _MOST_PREPARING:
            detail = f"{_MOST_PREPARING} attempts to resolve the credentials have not ended yet."
            raise UnreachableError.about(self._context, detail)
        self._preparing[attempt := object()] = now

        def prepare() -> _Prepared:
            try:
                return _prepare(self._settings)
            finally:
                del self._preparing[attempt]

        return prepare

    def _opening_failure(self, error: Exception) -> BackupError:
        failure = error if isinstance(error, BackupError) else from_boto(error, self._context, sent=False)
        # A role, a policy or a profile may be corrected while the backup goes on; AWS has said nothing of any backup.
        return CredentialsError(str(failure)) if isinstance(failure, PermanentError) else failure


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The parts of a client that a thread prepares; none of them has to be closed."""

    session: Any
    credentials: Any
    frozen: tuple[str, str, str | None]
    endpoint_url: str | None
    verify: bool | str | None
    config: Any


def _prepare(settings: AwsSettings) -> _Prepared:
    # Not at the top: DAG files import the trigger, and need no aiobotocore.
    from aiobotocore.session import get_session  # noqa: PLC0415

    hook = settings.hook()
    # The provider's own session, with all ways to find credentials that it knows.
    source = hook.get_session(region_name=settings.region_name)
    config = hook.limited_config(max_pool_connections=_CONNECTIONS)
    credentials = source.get_credentials()
    frozen = credentials.get_frozen_credentials() if credentials else None
    if frozen is None and config.signature_version is not UNSIGNED:
        raise NoCredentialsError
    session = get_session()
    session.register_component("data_loader", _LOADER)
    if source.profile_name != "default":
        session.set_config_variable("profile", source.profile_name)
    # Read here, since the loop would stand still for it.
    _ = session.full_config
    _warm_up(settings.region_name, config)
    keys = (frozen.access_key, frozen.secret_key, frozen.token) if frozen else ("unsigned", "unsigned", None)
    endpoint_url = hook.conn_config.get_service_endpoint_url("dynamodb")
    return _Prepared(session, credentials, keys, endpoint_url, hook.verify, config)


def _warm_up(region_name: str, config: Any) -> None:
    """Let the shared loader read what a client is made of, which takes 0.1 to 0.4 s. It only saves time."""
    try:
        session = botocore.session.get_session()
        session.register_component("data_loader", _LOADER)
        session.create_client(
            "dynamodb",
            region_name,
            aws_access_key_id="none",
            aws_secret_access_key="none",  # noqa: S106  # nothing is sent
            config=config,
        ).close()
    except Exception:
        log.debug("the models of a client could not be read ahead", exc_info=True)


async def _renew(prepared: _Prepared) -> None:
    """Renew the credentials of a client in place, ahead of their end, in a thread."""
    used = await prepared.session.get_credentials()
    while True:
        await asyncio.sleep(_RENEWAL_INTERVAL)
        # The old ones still do; once AWS refuses them, the client is opened anew, and says why it can't be.
        with suppress(Exception):
            frozen = await _in_thread(prepared.credentials.get_frozen_credentials)
            used.access_key, used.secret_key, used.token = frozen.access_key, frozen.secret_key, frozen.token


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


class _DaemonThreads(ThreadPoolExecutor):
    """Runs each function in a thread of its own, which neither others nor the process's end wait for."""

    def submit(self, function: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        return run_in_thread(partial(function, *args, **kwargs))


async def _in_thread(function: Callable[[], _T]) -> _T:
    # asgiref's bridge, since Airflow's own synchronous calls may need the loop that they were called from. By default
    # it has one thread for all of a process: a hanging STS would hold up every trigger.
    call = sync_to_async(function, thread_sensitive=False, executor=_DaemonThreads())
    result: _T = await call()
    return result
