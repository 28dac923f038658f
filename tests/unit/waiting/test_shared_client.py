"""Which connections share an aiobotocore client, and whose credentials sign."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ddb_backup.exceptions import BackupError, ErrorContext
from airflow_ddb_backup.limits import REPLACED_AFTER
from airflow_ddb_backup.waiting.client import AsyncClient, AwsSettings, RateLimits
from airflow_ddb_backup.waiting.shared_client import SharedClient
from tests.simulator.faults import Answer, Fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.simulator.clock import Clock, StillClock
    from tests.simulator.control_plane import ControlPlane
    from tests.simulator.proxy import Proxy

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
    except BackupError as error:
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


OTHERS: dict[str, dict[str, Any]] = {
    "endpoint": {"url": "http://127.0.0.1:9"},
    "configuration": {"config": {"user_agent_extra": "other"}},
    "timeout": {"config_kwargs": {"read_timeout": 7}},
    "proxy": {"config_kwargs": {"proxies": {"http": "http://127.0.0.1:9"}}},
    "signature": {"config_kwargs": {"signature_version": "unsigned"}},
    "certificates": {"verify": False},
    "profile": {"profile_name": "shop"},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
async def test_other_settings_have_another_client(
    connect: Callable[..., AsyncClient], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, other: dict[str, Any]
) -> None:
    """What a client is made of is one for all who use it."""
    config = tmp_path / "config"
    await asyncio.to_thread(config.write_text, "[profile shop]\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
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


async def test_one_that_is_refused_for_long_keeps_to_it(
    control_plane: ControlPlane, connect: Callable[..., AsyncClient]
) -> None:
    """Its endpoint has answered: another client would be no better, and those who join meanwhile would share none."""
    clients = [connect(name) for name in ("refused", "one", "two", "three")]
    control_plane.expired_keys.add("refused")
    for client in clients[1:]:
        await client.open()
        assert await describe(clients[0]) == "CredentialsError"
        await asyncio.sleep(REPLACED_AFTER)
    control_plane.expired_keys.clear()
    assert [await describe(client) for client in clients] == ["ACTIVE"] * 4
    assert shared(*clients) == 1
    for client in clients:
        await client.close()


@pytest.mark.parametrize(("age", "others"), [(REPLACED_AFTER, 1), (0, 0)])
async def test_an_endpoint_that_is_not_reached_is_tried_by_another_once_in_a_while(
    connect: Callable[..., AsyncClient], age: float, others: int
) -> None:
    """The certificates may have changed; in an outage, hundreds of connections open no client each."""
    clients = [connect(name, url="http://127.0.0.1:9") for name in ("one", "two")]
    for client in clients:
        await client.open()
    await asyncio.sleep(age)
    assert await describe(clients[0]) == "UnreachableError"
    for client in clients:
        await client.open()
    assert shared(*clients) == 1 + others
    for client in clients:
        await client.close()
    assert not list(SharedClient.shared.values())


async def test_a_throttled_account_slows_down_no_other(
    connect: Callable[..., AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment may ask for botocore's adaptive retries: all who share a client would have one rate."""
    monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")
    client = connect("one")
    await client.open()
    retries = client._connection.shared._client.meta.config.retries  # noqa: SLF001  # their bucket goes by real time
    assert retries["mode"] == "legacy"
    await client.close()


async def test_calls_that_hang_hold_up_no_other_connection(
    control_plane: ControlPlane, connect: Callable[..., AsyncClient], clock: StillClock
) -> None:
    """An account's may, for ten seconds each, as many as its rate begins."""
    hanging, other = clients = connect("hanging"), connect("other")
    for client in clients:
        await client.open()
    control_plane.fail_next("DescribeTable", Fault(Answer.HANGING), times=60)
    calls = [asyncio.ensure_future(describe(hanging)) for _ in range(60)]
    await asyncio.sleep(5)
    assert len(clock._hanging) == 60  # noqa: SLF001  # all at once
    assert await describe(other) == "ACTIVE"
    assert await asyncio.gather(*calls) == ["AmbiguousOutcomeError"] * 60
    for client in clients:
        await client.close()


async def test_the_host_is_that_of_the_caller_s_account(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, proxy: Proxy
) -> None:
    """Where ``account_id_endpoint_mode`` asks for one. A proxy sees the host that it is asked for."""
    monkeypatch.setenv("AWS_ACCOUNT_ID_ENDPOINT_MODE", "required")
    accounts, clients = ["111111111111", "222222222222"], []
    for account in accounts:
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ACCOUNT_ID": account}
        for name, value in keys.items():
            monkeypatch.setenv(name, value)
        settings = AwsSettings(None, "us-east-1", None, {"proxies": {"https": proxy.url}})
        clients.append(AsyncClient(settings, RateLimits()))
        await clients[-1].open()
    assert shared(*clients) == 1
    for client in clients:
        assert await describe(client) == "AmbiguousOutcomeError"
        await client.close()
    assert proxy.targets == [f"{account}.ddb.us-east-1.amazonaws.com:443" for account in accounts]


async def test_a_connection_s_default_profile_is_not_the_environment_s(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """boto3 calls no profile "default", too."""
    config = tmp_path / "config"
    text = f"[default]\nendpoint_url = {control_plane.url}\n[profile other]\nendpoint_url = http://127.0.0.1:9\n"
    await asyncio.to_thread(config.write_text, text)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "other")
    connection = json.loads(control_plane.connection(profile_name="default"))
    del connection["extra"]["endpoint_url"]
    monkeypatch.setenv("AIRFLOW_CONN_ONE", json.dumps(connection))
    client = AsyncClient(AwsSettings("one", "us-east-1", None, None), RateLimits())
    assert await describe(client) == "ACTIVE"
    await client.close()
