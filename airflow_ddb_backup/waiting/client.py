"""The client that the poller asks: within AWS's rates, opened again when it is refused, nothing blocking on the loop.

Reading the Airflow connection, files and STS block, and the session that the amazon provider gives aiobotocore renews a
role's credentials by a synchronous call on the loop. So threads do all that; a thread that hangs is left behind, so it
returns nothing that would have to be closed. There are two clients with one interface:

* on a triggerer, :class:`AsyncClient`: a thread makes boto3's own session, resolves and freezes its credentials, and
  reads the models that a client is made of; aiobotocore's client on the loop, which others may share, signs with these
  credentials, which a thread renews before they expire;
* on a worker, :class:`HookClient`: the task's own hook, whose calls run in threads.

AWS's rates are an account's and a region's, so the clients of one account and region share their limits.
"""

from __future__ import annotations

import asyncio
import json
import logging
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakValueDictionary

import botocore.session
from botocore import UNSIGNED, xform_name
from botocore.config import Config
from botocore.exceptions import NoCredentialsError
from botocore.loaders import Loader

from airflow_ddb_backup import exceptions, metrics
from airflow_ddb_backup.boto_errors import from_boto, map_exceptions
from airflow_ddb_backup.clock import Clock
from airflow_ddb_backup.exceptions import (
    BackupError,
    BackupNotFoundError,
    CredentialsError,
    ErrorContext,
    PermanentError,
)
from airflow_ddb_backup.hooks.dynamodb import DynamoDBBackupHook, scoped_config
from airflow_ddb_backup.limits import (
    CALL_SECONDS,
    DOCUMENTED_RATES,
    HANGING_SECONDS,
    MAX_CONNECTIONS,
    OPENING_SECONDS,
    PREPARATIONS,
    PREPARING_SECONDS,
    RENEWAL_INTERVAL,
    STEADY,
)
from airflow_ddb_backup.models import Backup, Table, read_backup_page
from airflow_ddb_backup.parameters import check_botocore_config, check_connection_setting
from airflow_ddb_backup.rates import RateLimit, Rates
from airflow_ddb_backup.retries import backoff
from airflow_ddb_backup.waiting.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from airflow_ddb_backup.waiting.shared_client import Prepared, SharedClient

log = logging.getLogger(__name__)

_OPENING = "Opening the client"
# Shared, since it keeps the models that it has read, some MB.
_LOADER = Loader()
_READERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "DescribeBackup": Backup.from_description,
    "DescribeTable": Table.from_response,
    "ListBackups": read_backup_page,
}


@dataclass(frozen=True, slots=True)
class AwsSettings:
    """The four AWS settings of a task, and what the worker has found.

    :param aws_conn_id: the Airflow connection
    :param region_name: the region
    :param verify: whether to verify TLS certificates, or a CA bundle's path
    :param botocore_config: arguments of :class:`botocore.config.Config`
    :param connection_found: the worker has found the connection, so that its absence is its secrets backend's failure
    :raises InvalidValueError: a setting is wrong
    """

    aws_conn_id: str | None
    region_name: str
    verify: bool | str | None
    botocore_config: dict[str, Any] | None
    connection_found: bool = False

    def __post_init__(self) -> None:
        for name in ("aws_conn_id", "region_name", "verify"):
            check_connection_setting(name, getattr(self, name))
        check_botocore_config(self.botocore_config)

    def key(self) -> str:
        """Return a text that is the same for equal settings."""
        return json.dumps(asdict(self), sort_keys=True, default=repr)

    def hook(self) -> DynamoDBBackupHook:
        """Return a new hook, which reads the Airflow connection."""
        given: dict[str, Any] = {"region_name": self.region_name, "verify": self.verify, "config": self.botocore_config}
        hook = DynamoDBBackupHook(self.aws_conn_id, **given)
        hook.connection_found = self.connection_found
        return hook


class RateLimits(dict[str, RateLimit]):
    """The limits of one account and region, by operation, shared by all clients of an event loop."""

    # Weak, so that they end with their last client. A living one keeps its loop, and so the loop's id.
    _shared: ClassVar[WeakValueDictionary[tuple[int, str | None, str], RateLimits]] = WeakValueDictionary()

    def __init__(self) -> None:
        super().__init__({operation: RateLimit(rate) for operation, rate in DOCUMENTED_RATES.items()})

    @classmethod
    def of(cls, account: str | None, region_name: str) -> RateLimits:
        """Return the limits of the running event loop for an account and region.

        :param account: the account; ``None``: not known
        :param region_name: the region of the calls
        """
        key = id(asyncio.get_running_loop()), account, region_name
        return cls._shared.setdefault(key, cls())

    def now(self) -> Rates:
        """Return the calls per second that there are now."""
        return Rates(self["DescribeBackup"].per_second(), self["ListBackups"].per_second())


class Outage:
    """One line in the log when an operation begins to fail, and one when it succeeds again.

    :param operation: what may fail, for the log
    """

    def __init__(self, operation: str) -> None:
        self._operation = operation
        self._since: float | None = None
        self._last = 0.0
        self._recovered: float | None = None

    def failed(self, error: BackupError, now: float) -> None:
        """Take in a failed call.

        :param error: why it failed
        :param now: seconds
        """
        if self._since is None:
            self._since = now
            log.warning("%s fails; waits go on until their deadlines. %s", self._operation, error)
        self._last, self._recovered = now, None

    def succeeded(self, now: float) -> None:
        """Take in a call that succeeded.

        :param now: seconds
        """
        self._recovered = now if self._recovered is None else self._recovered
        if now >= self._last + STEADY:
            self.end()

    def end(self) -> None:
        """End an outage whose last call has succeeded, since there may be no further one."""
        if self._since is not None and self._recovered is not None:
            log.info("%s succeeds again, after %.0f s.", self._operation, self._recovered - self._since)
            self._since = None


def is_answer(error: BackupError) -> bool:
    """Return whether AWS has said something by an error of what it was asked about; otherwise a call has failed.

    :param error: the error
    """
    return isinstance(error, PermanentError | BackupNotFoundError)


class Client(ABC):
    """A client of AWS, opened again when its credentials or its endpoint are refused.

    Before a call, the caller waits for its turn in ``limits``. After one refusal the client is opened again at once,
    and later and later after more in a row: STS has limits too.

    :param limits: the rate limits of the account and region
    :param region_name: the region of the calls
    """

    #: whether it is a triggerer's
    on_triggerer: ClassVar[bool]
    # The preparations of an event loop. Weak, as the limits are.
    _places: ClassVar[WeakValueDictionary[int, asyncio.Semaphore]] = WeakValueDictionary()

    def __init__(self, limits: RateLimits, region_name: str) -> None:
        self.limits = limits
        self.region_name = region_name
        self._clock = Clock()
        self.tally = metrics.Tally(on_triggerer=self.on_triggerer)
        self.context = ErrorContext(region=region_name)
        self._connection: Any = None
        self._opening = asyncio.Lock()
        self._place = self._places.setdefault(id(asyncio.get_running_loop()), asyncio.Semaphore(PREPARATIONS))
        self._preparing: asyncio.Task[Any] | None = None
        self._patience, self._abandoned_at = HANGING_SECONDS, 0.0
        self._failures = 0
        self._failure: BackupError | None = None
        self._held_back_until = 0.0
        self._outages = {of: Outage(f"{of} in {region_name}") for of in (_OPENING, *_READERS)}

    @abstractmethod
    def _prepare(self) -> Any:
        """Do in a thread what blocks; return nothing that has to be closed."""

    @abstractmethod
    async def _connect(self, prepared: Any) -> Any:
        """Return a connection."""

    @abstractmethod
    async def _send(
        self, connection: Any, operation: str, context: ErrorContext, request: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Make a call."""

    @abstractmethod
    def _disconnect(self, connection: Any, error: BackupError | None = None) -> None:
        """Close a connection once the calls under way have ended.

        :param error: why another is opened; ``None``: the client ends
        """

    async def open(self) -> None:
        """Open the client, unless it is open.

        :raises BackupError: it can't be opened; none that ends a wait
        """
        async with self._opening:
            with self._noting(_OPENING):
                if self._connection is not None:
                    return
                if self._failure and self._clock.monotonic() < self._held_back_until:
                    raise self._failure
                try:
                    self._connection = await self._connect(await self._prepared())
                except Exception as error:
                    raise self._hold_back(error) from error

    async def close(self) -> None:
        """Close the client, and leave what hangs behind."""
        for outage in self._outages.values():
            outage.end()
        if self._preparing:
            self._preparing.cancel()
            await asyncio.gather(self._preparing, return_exceptions=True)
        if self._connection is not None:
            self._disconnect(self._connection)
            self._connection = None

    async def call(self, operation: str, context: ErrorContext, **request: Any) -> Any:
        """Make a call, and return the backup, the table or the page that it is answered with.

        :param operation: one of those that poll
        :param context: the table, backup and region, for messages
        :param request: the arguments
        :raises BackupError: the call has failed
        """
        await self.open()
        with self._noting(operation):
            result = await self._call(operation, context, request)
        self._failures = 0
        return result

    async def _call(self, operation: str, context: ErrorContext, request: Mapping[str, Any]) -> Any:
        connection = self._connection
        try:
            async with asyncio.timeout(CALL_SECONDS):
                called_at = self._clock.monotonic()
                with map_exceptions(context):
                    response = await self._send(connection, operation, context, request)
                    self._clock.observe_response(response, called_at)
                    return _READERS[operation](response)
        except TimeoutError as error:
            detail = f"{operation} took more than {CALL_SECONDS:.0f} s."
            raise exceptions.AmbiguousOutcomeError.about(context, detail) from error
        except exceptions.ThrottledError:
            self.limits[operation].throttled()
            raise
        except (CredentialsError, exceptions.UnreachableError) as error:
            if self._connection is connection:
                self._connection = None
                # Without the table and backup of this call, since others are told of it.
                cause = error.__cause__
                self._hold_back(from_boto(cause, self.context) if isinstance(cause, Exception) else error)
                self._disconnect(connection, error)
            raise

    @contextmanager
    def _noting(self, operation: str) -> Iterator[None]:
        """Note in the log when an operation begins to fail, and when it succeeds again."""
        outage = self._outages[operation]
        try:
            yield
        except BackupError as error:
            if not is_answer(error):
                outage.failed(error, self._clock.monotonic())
            raise
        outage.succeeded(self._clock.monotonic())

    def now(self) -> datetime:
        """Return the time by AWS's clock, as far as its responses have told."""
        return self._clock.earliest(self._clock.monotonic())

    def _hold_back(self, error: Exception) -> BackupError:
        """Open the client no sooner than this failure allows; return it as told to those who wait."""
        failure = error if isinstance(error, BackupError) else from_boto(error, self.context, sent=False)
        # A role, a policy or a profile may be corrected while the backup goes on; AWS has said nothing of any backup.
        self._failure = CredentialsError(str(failure)) if isinstance(failure, PermanentError) else failure
        delay = backoff(self._failures) if self._failures else 0.0
        self._failures += 1
        self._held_back_until = self._clock.monotonic() + delay
        return self._failure

    async def _prepared(self) -> Any:
        """Return what a thread prepares: one at a time, and of all clients a few at once, in turn.

        One that takes long waits for others, and gives up its place. What it may still return is waited for again.
        """
        if self._preparing is None or self._clock.monotonic() >= self._abandoned_at:
            if self._preparing:
                self._preparing.cancel()
                # It keeps its thread.
                self._patience *= 2
            async with self._place:
                self._abandoned_at = self._clock.monotonic() + self._patience
                self._preparing = asyncio.ensure_future(in_thread(self._prepare))
                await asyncio.wait([self._preparing], timeout=PREPARING_SECONDS)
        preparing = self._preparing
        await asyncio.wait([preparing], timeout=OPENING_SECONDS)
        if not preparing.done():
            raise exceptions.UnreachableError.about(self.context, f"No credentials after {OPENING_SECONDS:.0f} s.")
        self._preparing, self._patience = None, HANGING_SECONDS
        return preparing.result()


class HookClient(Client):
    """The hook of a task on a worker.

    :param hook: the hook, open for the region of the calls
    :param limits: the rate limits of the account and region
    :param region_name: the region of the calls
    """

    on_triggerer = False

    def __init__(self, hook: DynamoDBBackupHook, limits: RateLimits, region_name: str) -> None:
        super().__init__(limits, region_name)
        self._hook = hook

    def _prepare(self) -> None:
        self._hook.open(self.context)

    async def _connect(self, prepared: Any) -> DynamoDBBackupHook:
        return self._hook

    def _disconnect(self, connection: DynamoDBBackupHook, error: BackupError | None = None) -> None:
        """Do nothing: a hook forgets a client that is refused by itself, and the task goes on with it."""

    async def _send(
        self, connection: DynamoDBBackupHook, operation: str, context: ErrorContext, request: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        return await in_thread(partial(connection.call, operation, context, **request))


@dataclass(slots=True)
class _Connection:
    """A client that may be others' too, and the credentials for the calls of this one.

    :param shared: the client
    :param frozen: the credentials, renewed in place
    :param resources: what is to be closed
    """

    shared: SharedClient
    frozen: Any
    resources: AsyncExitStack


class AsyncClient(Client):
    """A connection of aiobotocore on a triggerer.

    :param settings: the AWS settings
    :param limits: the rate limits of the account and region
    """

    on_triggerer = True

    def __init__(self, settings: AwsSettings, limits: RateLimits) -> None:
        super().__init__(limits, settings.region_name)
        self._settings = settings
        self._closing: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()

    async def close(self) -> None:
        """Close the client, and those that it has replaced."""
        self._ended.set()
        await super().close()
        await asyncio.gather(*self._closing)

    async def _call(self, operation: str, context: ErrorContext, request: Mapping[str, Any]) -> Any:
        # A hook counts its calls itself.
        with metrics.calling(operation, self.region_name, self.tally.count):
            return await super()._call(operation, context, request)

    def _prepare(self) -> Prepared:
        return prepare(self._settings)

    async def _connect(self, prepared: Prepared) -> _Connection:
        async with AsyncExitStack() as resources:
            shared = await prepared.join()
            resources.push_async_callback(shared.leave)
            connection = _Connection(shared, prepared.frozen, resources)
            if hasattr(prepared.credentials, "refresh_needed"):
                renewing = asyncio.ensure_future(_renew(connection, prepared.credentials))
                resources.push_async_callback(_stop, renewing)
            connection.resources = resources.pop_all()
            return connection

    def _disconnect(self, connection: _Connection, error: BackupError | None = None) -> None:
        if isinstance(error, exceptions.UnreachableError):
            connection.shared.failed()
        # A task of its own: the caller may be cancelled.
        closing = asyncio.ensure_future(self._close(connection.resources))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _close(self, resources: AsyncExitStack) -> None:
        # The calls under way have ended by then.
        with suppress(TimeoutError):
            async with asyncio.timeout(CALL_SECONDS):
                await self._ended.wait()
        await resources.aclose()

    async def _send(
        self, connection: _Connection, operation: str, context: ErrorContext, request: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        return await connection.shared.call(xform_name(operation), connection.frozen, request)


def prepare(settings: AwsSettings) -> Prepared:
    """Resolve the credentials, and read what a client is made of: in a thread, since all of it blocks.

    :param settings: the AWS settings
    """
    # Not at the top: DAG files import the trigger, and need no aiobotocore.
    from airflow_ddb_backup.waiting.shared_client import Prepared, make_session  # noqa: PLC0415

    hook = settings.hook()
    # The provider's own session, with all ways to find credentials that it knows.
    source = hook.get_session(region_name=settings.region_name)
    config = hook.limited_config(source, max_pool_connections=MAX_CONNECTIONS)
    credentials = source.get_credentials()
    frozen = credentials.get_frozen_credentials() if credentials else None
    if frozen is None and config.signature_version is not UNSIGNED:
        raise NoCredentialsError
    _warm_up()
    profile = source._session.profile  # noqa: SLF001  # boto3's own calls none "default", which is another's name
    session = make_session(profile, _LOADER)
    bundle = session.get_config_variable("ca_bundle") if hook.verify is None else hook.verify
    if isinstance(bundle, str):
        # aiobotocore reads it again, in a thread of the loop's few: it hangs here, if it does.
        with suppress(OSError):
            Path(bundle).read_bytes()
    arguments = {
        "region_name": settings.region_name,
        "endpoint_url": hook.conn_config.get_service_endpoint_url("dynamodb"),
        "verify": bundle,
        "config": config,
    }
    return Prepared(profile, scoped_config(source), arguments, session, credentials, frozen)


@cache
def _warm_up() -> None:
    """Let the shared loader read what a client is made of, once: it takes 0.1 to 0.4 s. It only saves time."""
    session = botocore.session.get_session()
    session.register_component("data_loader", _LOADER)
    keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}  # nothing is sent
    with suppress(Exception):
        session.create_client("dynamodb", "us-east-1", config=Config(retries={"mode": "legacy"}), **keys).close()


async def _renew(connection: _Connection, credentials: Any) -> None:
    """Renew the credentials of a connection in place, ahead of their end, in a thread."""
    while True:
        await asyncio.sleep(RENEWAL_INTERVAL)
        # The old ones still do; once AWS refuses them, the client is opened again, or its failure says why not.
        with suppress(Exception):
            connection.frozen = await in_thread(credentials.get_frozen_credentials)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
