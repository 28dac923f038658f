"""aiobotocore's clients, shared by all connections of an event loop that differ in nothing but their credentials.

A client is a thousand objects. Hundreds of them, one for each Airflow connection, would make the loop stand still for a
quarter of a second in each full collection of garbage. So a client signs each request with the credentials of whoever
makes it. Nothing else in it is one caller's: a throttled call, or one that hangs, holds up nobody else's.

Not imported with the triggers, which DAG files import: aiobotocore takes its time.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakValueDictionary

from aiobotocore.credentials import AioCredentials
from aiobotocore.session import AioSession

from airflow_ddb_backup.clock import Clock
from airflow_ddb_backup.limits import REPLACED_AFTER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.loaders import Loader

_of_call: ContextVar[Any] = ContextVar("_of_call")


class CallersCredentials(AioCredentials):  # type: ignore[misc]  # aiobotocore has no types
    """The credentials of whoever calls. Also a session's provider of them."""

    def __init__(self) -> None:
        super().__init__("none", "none")

    async def load_credentials(self) -> CallersCredentials:
        """Return them."""
        return self

    async def get_frozen_credentials(self) -> Any:
        """Return those of the call under way."""
        return _of_call.get()

    async def get_account_id(self) -> str | None:
        """Return the account of those of the call under way, which its host may depend on."""
        account: str | None = _of_call.get().account_id
        return account


class SharedClient:
    """A client and how many use it; it ends with the last of them.

    :param key: the event loop, and all that clients differ in
    """

    # Weak, so that those of a loop that has ended are gone. A living one keeps its loop, and so the loop's id.
    shared: ClassVar[WeakValueDictionary[tuple[int, str], SharedClient]] = WeakValueDictionary()

    def __init__(self, key: tuple[int, str]) -> None:
        self._key, self._loop = key, asyncio.get_running_loop()
        self._users = 0
        self._opening = asyncio.Lock()
        self._resources = AsyncExitStack()
        self._client: Any = None
        self._now = Clock().monotonic
        self._since = self._now()

    async def enter(self, prepared: Prepared) -> None:
        """Begin to use it; open it for the first.

        :param prepared: what it is made of
        """
        self._users += 1
        try:
            async with self._opening:
                if self._client is None:
                    opening = prepared.session.create_client("dynamodb", **prepared.arguments)
                    self._client = await self._resources.enter_async_context(opening)
        except BaseException:
            await self.leave()
            raise

    async def call(self, method: str, credentials: Any, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make a call, signed with some credentials.

        :param method: the client's method
        :param credentials: frozen credentials
        :param request: its arguments
        """
        signed = _of_call.set(credentials)
        try:
            response: Mapping[str, Any] = await getattr(self._client, method)(**request)
        finally:
            _of_call.reset(signed)
        return response

    def failed(self) -> None:
        """Note that its endpoint was not reached: unless it is new, whoever joins opens another in its place."""
        if self._now() - self._since >= REPLACED_AFTER:
            self._retire()

    async def leave(self) -> None:
        """End the use; close it after the last."""
        self._users -= 1
        if not self._users:
            self._retire()
            await self._resources.aclose()

    def _retire(self) -> None:
        if self.shared.get(self._key) is self:
            del self.shared[self._key]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a connection is made of.

    :param profile_name: the profile of the configuration files; ``None``: none is named
    :param profile: what that says
    :param arguments: those of the client
    :param session: makes the client; it has read all files
    :param credentials: boto3's, which renew themselves; ``None``: requests are not signed
    :param frozen: the same, as they are now
    """

    profile_name: str | None
    profile: Mapping[str, Any]
    arguments: Mapping[str, Any]
    session: AioSession
    credentials: Any
    frozen: Any

    async def join(self) -> SharedClient:
        """Return the running event loop's client of these settings, opened."""
        settings = {**self.arguments, "config": vars(self.arguments["config"])}
        settings |= {"profile": self.profile, "profile_name": self.profile_name}
        key = id(asyncio.get_running_loop()), json.dumps(settings, sort_keys=True, default=repr)
        client = SharedClient.shared.setdefault(key, SharedClient(key))
        await client.enter(self)
        return client


def make_session(profile_name: str | None, loader: Loader) -> AioSession:
    """Return a new session, which has read the configuration files.

    :param profile_name: the profile; ``None``: none is named
    :param loader: reads botocore's models
    """
    # The handlers are other services' but for a few headers.
    session = AioSession(include_builtin_handlers=False)
    session.register_component("data_loader", loader)
    session.register_component("credential_provider", CallersCredentials())
    if profile_name is not None:
        session.set_config_variable("profile", profile_name)
    _ = session.full_config
    return session
