"""Which connections share an aiobotocore client, and whose credentials sign."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ddb_backup.exceptions import CredentialsError, ErrorContext
from airflow_ddb_backup.waiting.client import AsyncClient, AwsSettings, RateLimits
from airflow_ddb_backup.waiting.shared_client import SharedClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.control_plane import ControlPlane

pytestmark = pytest.mark.anyio


@pytest.fixture
def connect(control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AsyncClient]:
    """Return what makes a client of an Airflow connection with an access key of its name."""

    def connect(name: str, config: dict[str, Any] | None = None, **connection: Any) -> AsyncClient:
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", control_plane.connection(access_key=name, **connection))
        return AsyncClient(AwsSettings(name, "us-east-1", None, config), RateLimits())

    return connect


async def describe(client: AsyncClient) -> str:
    """Return the status of a table; the exception's name, if the call is refused."""
    try:
        table = await client.call("DescribeTable", ErrorContext(), TableName="orders")
    except CredentialsError as error:
        return type(error).__name__
    return str(table.status)


def shared(*clients: AsyncClient) -> int:
    """Return how many aiobotocore clients some clients have."""
    return len({id(client._connection.shared) for client in clients})  # noqa: SLF001  # nothing else tells


async def test_each_call_is_signed_with_the_credentials_of_its_connection(
    control_plane: ControlPlane, connect: Callable[..., AsyncClient]
) -> None:
    """Whatever other calls of the same client are under way."""
    clients = [connect(name) for name in ("good", "expired")]
    control_plane.expired_keys.add("expired")
    control_plane.delays["DescribeTable"] = 1
    await asyncio.gather(*(client.open() for client in clients))
    assert shared(*clients) == 1
    assert await asyncio.gather(*map(describe, clients * 3)) == ["ACTIVE", "CredentialsError"] * 3
    assert await describe(clients[0]) == "ACTIVE"
    for client in clients:
        await client.close()


@pytest.mark.parametrize(
    "other", [{"config": {"user_agent_extra": "other"}}, {"url": "http://127.0.0.1:9"}], ids=["config", "endpoint"]
)
async def test_other_settings_have_another_client(connect: Callable[..., AsyncClient], other: dict[str, Any]) -> None:
    """What a client is made of is one for all who use it."""
    clients = [connect("one"), connect("two"), connect("three", **other)]
    for client in clients:
        await client.open()
    assert shared(*clients[:2]) == 1
    assert shared(*clients) == 2
    for client in clients:
        await client.close()


async def test_it_ends_with_the_last_that_uses_it(connect: Callable[..., AsyncClient]) -> None:
    """A wait that ends takes nothing from the others."""
    one, two = clients = connect("one"), connect("two")
    for client in clients:
        await client.open()
    await one.close()
    assert await describe(two) == "ACTIVE"
    await two.close()
    assert not list(SharedClient.shared.values())


async def test_after_a_refusal_another_is_opened(
    control_plane: ControlPlane, connect: Callable[..., AsyncClient]
) -> None:
    """Its endpoint may have moved, or its certificates; those that were not refused keep theirs."""
    clients = connect("one"), connect("two")
    assert [await describe(client) for client in clients] == ["ACTIVE"] * 2
    control_plane.expired_keys.add("one")
    assert await describe(clients[0]) == "CredentialsError"
    control_plane.expired_keys.clear()
    assert [await describe(client) for client in clients] == ["ACTIVE"] * 2
    assert shared(*clients) == 2
    for client in clients:
        await client.close()
    assert not list(SharedClient.shared.values())
