"""One process that waits for backups, and measures itself: ``python -m benchmarks.subject ours ARNS SECONDS``."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import airflow_ddb_backup.triggers.dynamodb
import benchmarks.peer
from airflow_ddb_backup.models import BackupArn

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_INTERVAL = 5
# The first client has read the models of all by so many seconds after the start.
FIRST_CLIENT = POLL_INTERVAL + 5
PATIENCE = 900.0
_BEAT = 0.05
# Airflow's own limit for its warning that the loop is blocked.
_STALL = 0.2


def trigger(kind: str, arn: str) -> Any:
    """Return a trigger of the package or of its peer."""
    if kind == "peer":
        return benchmarks.peer.WaiterTrigger(arn, POLL_INTERVAL)
    deadline = time.time() + PATIENCE
    # Each Airflow connection has credentials and a poller of its own.
    name = f"aws_{arn[-8:]}" if kind == "connections" else "aws_default"
    os.environ[f"AIRFLOW_CONN_{name.upper()}"] = os.environ["AIRFLOW_CONN_AWS_DEFAULT"]
    return airflow_ddb_backup.triggers.dynamodb.DynamoDBBackupTrigger(
        backup_arn=arn, poll_interval=POLL_INTERVAL, deadline=deadline, aws_conn_id=name
    )


def memory() -> int:
    """Return this process's resident bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


class Pulse:
    """Feels how often and how long the event loop stood still, and how much memory there was at most.

    What this process has computed meanwhile is how long the loop stands still on a machine with nothing else to do.
    """

    def __init__(self) -> None:
        self.stalls: list[tuple[float, float]] = []
        self.computed = 0.0
        self.peak = 0
        self._start = time.monotonic()

    async def beat(self) -> None:
        """Go on until cancelled."""
        while True:
            before, cpu = time.monotonic(), time.process_time()
            await asyncio.sleep(_BEAT)
            late = time.monotonic() - before - _BEAT
            if late > _STALL:
                self.stalls.append((round(before - self._start, 1), round(late, 3)))
            if before - self._start > FIRST_CLIENT:
                self.computed = max(self.computed, time.process_time() - cpu)
            self.peak = max(self.peak, memory())


async def notice(kind: str, arn: str, creating_for: float) -> tuple[str, float]:
    """Wait for one backup; return how that ended, and how long after it was AVAILABLE."""
    async for event in trigger(kind, arn).run():
        created = BackupArn.parse(arn).created_hint
        assert created is not None
        available_at = created.timestamp() + creating_for
        return event.payload["status"], time.time() - available_at
    raise AssertionError(arn)


async def measure(kind: str, arns: list[str], creating_for: float) -> dict[str, Any]:
    """Wait for all backups at once."""
    pulse = Pulse()
    gc.collect()
    memory_before, cpu_before = memory(), time.process_time()
    beating = asyncio.ensure_future(pulse.beat())
    ended = await asyncio.gather(*(notice(kind, arn, creating_for) for arn in arns))
    cpu = time.process_time() - cpu_before
    beating.cancel()
    latencies = [latency for _, latency in ended]
    return {
        "succeeded": sum(status == "success" for status, _ in ended),
        "cpu": cpu,
        "memory": max(0, pulse.peak - memory_before) / 1e6,
        "stalls": pulse.stalls,
        "computed": pulse.computed,
        "notice_p50": median(latencies),
        "notice_max": max(latencies),
    }


def main(kind: str, arns: str, creating_for: str) -> None:
    """Print what was measured, as JSON.

    :param kind: ``peer``, or one of ours
    :param arns: a file with the ARNs
    :param creating_for: seconds from a backup's creation until it is AVAILABLE
    """
    run: Callable[[Any], Any] = asyncio.run
    measured = run(measure(kind, json.loads(Path(arns).read_text(encoding="ascii")), float(creating_for)))
    sys.stderr.write(json.dumps(measured))


if __name__ == "__main__":
    main(*sys.argv[1:])
