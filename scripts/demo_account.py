"""The simulated AWS account of ``make demo``: a past of 40 days, and all that the example DAGs need.

Twelve tables have the tag ``backup=nightly``, items and settings, and a backup for each night but the last: that one
is the demo's to make. An hour ago somebody deleted a third of the orders.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_ddb_backup.creation.names import derive_backup_name
from tests.simulator.clock import Clock
from tests.simulator.control_plane import ACCOUNT, ControlPlane

if TYPE_CHECKING:
    from collections.abc import Iterator

NIGHTLY = "example_dynamodb_backup_nightly"
#: the table that is broken, and for how long it has been
BROKEN, BROKEN_FOR = "orders", timedelta(hours=1)
#: how many items each table has, and the broken one too until it was
ITEMS = 120
#: the tables with the tag, and their sizes in GB
TAGGED = {
    "orders": 41.5,
    "customers": 12.2,
    "invoices": 83.0,
    "payments": 27.4,
    "carts": 0.8,
    "sessions": 3.1,
    "stock": 1.7,
    "prices": 0.4,
    "returns": 2.6,
    "vouchers": 0.2,
    "shop-berlin": 9.9,
    "shop-paris": 7.3,
}
# Tables without it, and the age of their newest backup in days; None: there is none.
_OTHERS: dict[str, int | None] = {"ledger": 3, "mailings": None}
_NIGHTS = 35
_SHOP_ACCOUNT, _SHOP_REGION = "210987654321", "eu-west-1"
_HOUR, _DAY, _GB = 3600.0, 86_400.0, 1024**3
# Backups stay CREATING for long enough that the task is deferred and the triggerer takes over. Nobody waits for AWS's
# hours.
_CREATING_FOR, _RESTORING_FOR = 7.0, 4.0
_SIZED_AFTER = 6 * _HOUR


class PastClock(Clock):
    """The real time, or an earlier one while the past is made."""

    ago = 0.0

    def monotonic(self) -> float:
        """Return seconds of a clock that nobody sets."""
        return super().monotonic() - self.ago


@contextmanager
def served_account() -> Iterator[ControlPlane]:
    """Serve a control plane with the account's past."""
    clock = PastClock()
    with ControlPlane(_CREATING_FOR, clock).serve() as plane:
        plane.restoring_for, plane.sized_after = _RESTORING_FOR, _SIZED_AFTER
        _furnish(plane, clock)
        yield plane


def _furnish(plane: ControlPlane, clock: PastClock) -> None:
    plane.sizes.update({name: int(size * _GB) for name, size in TAGGED.items()})
    clock.ago = (_NIGHTS + 5) * _DAY
    client = plane.client()
    for name in (*TAGGED, *_OTHERS):
        plane.create_table(name)
        _put_items(client, name)
    for name in TAGGED:
        plane.tag_table(name, backup="nightly", team="shop")
    for name in (BROKEN, "invoices"):
        plane.switch_recovery(name)
        client.update_table(TableName=name, DeletionProtectionEnabled=True)
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    client.update_table(TableName=BROKEN, StreamSpecification=stream)
    _make_nights(plane, clock)
    _make_left_overs(plane, clock)
    _make_other_places(plane)
    clock.ago = BROKEN_FOR.total_seconds()
    for key in _keys()[::3]:
        client.delete_item(TableName=BROKEN, Key=key)
    clock.ago = 0.0


def environment(plane: ControlPlane) -> dict[str, str]:
    """Return the connections that the example DAGs need, as environment variables.

    :param plane: the control plane, served
    """
    role = {"role_arn": f"arn:aws:iam::{_SHOP_ACCOUNT}:role/table-backups"}
    return {
        "AIRFLOW_CONN_AWS_DEFAULT": plane.connection(),
        "AIRFLOW_CONN_AWS_SHOP_ACCOUNT": plane.connection(_SHOP_REGION, **role),
    }


def broken_since() -> str:
    """Return when the table broke, as the form of a restore takes it."""
    return (datetime.now(tz=UTC) - BROKEN_FOR).isoformat(timespec="seconds")


def count_items(plane: ControlPlane, table: str) -> int:
    """Return how many items a table has."""
    return int(plane.client().scan(TableName=table, Select="COUNT")["Count"])


def _make_nights(plane: ControlPlane, clock: PastClock) -> None:
    """Back the tables up each night at 2, as the nightly DAG would have; last night is left out."""
    now = datetime.now(tz=UTC)
    last = now.replace(hour=2, minute=0, second=0, microsecond=0)
    last -= timedelta(days=last > now)
    for night in reversed([last - timedelta(days=days) for days in range(1, _NIGHTS)]):
        clock.ago = (now - night).total_seconds() - 60
        run_id = f"scheduled__{night.isoformat()}"
        for name in TAGGED:
            plane.add_backups(name, 1, derive_backup_name("", NIGHTLY, "back_up", run_id, name))


def _make_left_overs(plane: ControlPlane, clock: PastClock) -> None:
    """Add what other tools and tests have left."""
    for days in range(_NIGHTS, 0, -1):
        clock.ago = days * _DAY
        plane.add_backups("returns", 1, f"nightly-{datetime.fromtimestamp(clock.time(), tz=UTC):%Y-%m-%d}")
        for name in (name for name, age in _OTHERS.items() if age == days):
            plane.add_backups(name, 1, "by-hand")
    clock.ago = 2 * _DAY
    plane.create_table("test-checkout")
    plane.add_backups("test-checkout", 3, "integration-test-checkout")
    plane.drop_table("test-checkout")


def _make_other_places(plane: ControlPlane) -> None:
    """Add tables in another region, and in another account there."""
    for account in (ACCOUNT, _SHOP_ACCOUNT):
        for name in ("orders", "invoices"):
            plane.create_table(name, _SHOP_REGION, account)
            plane.tag_table(name, _SHOP_REGION, account, backup="nightly")


def _put_items(client: Any, table: str) -> None:
    requests = [{"PutRequest": {"Item": {**key, "total": {"N": str(at)}}}} for at, key in enumerate(_keys())]
    # As many as BatchWriteItem takes.
    for start in range(0, len(requests), 25):
        client.batch_write_item(RequestItems={table: requests[start : start + 25]})


def _keys() -> list[dict[str, Any]]:
    return [{"id": {"S": f"2026-{number:04}"}} for number in range(ITEMS)]
