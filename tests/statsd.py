"""A StatsD listener, a UDP socket that keeps what it is sent; and Airflow's ``Stats``, set up to send there."""

from __future__ import annotations

import re
import socket
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

_LINE = re.compile(r"airflow\.(?P<name>[^,:]+)(?P<tags>[^:]*):(?P<value>[^|]+)\|(?P<kind>\w+)")
_OWN = "dynamodb_backup."
_DATAGRAM = 65536


@dataclass(frozen=True)
class Sent:
    """A metric as it was sent, with its tags in InfluxDB's way.

    :param name: its name, without Airflow's prefix
    :param kind: ``"c"`` for a counter, ``"g"`` for a gauge, ``"ms"`` for a timer
    :param value: its value
    :param tags: its tags
    """

    name: str
    kind: str
    value: float
    tags: dict[str, str]


class Listener:
    """Listens on a free port of 127.0.0.1; what is sent there has arrived at once."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self._sent: list[Sent] = []

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables with which Airflow sends its metrics here."""
        options = {
            "STATSD_ON": "True",
            "STATSD_HOST": "127.0.0.1",
            "STATSD_PORT": str(self._socket.getsockname()[1]),
            "STATSD_INFLUXDB_ENABLED": "True",
            # Without these Airflow 2.11 warns of what it will do in 3.
            "METRICS_USE_PATTERN_MATCH": "True",
            "TIMER_UNIT_CONSISTENCY": "True",
        }
        return {f"AIRFLOW__METRICS__{name}": value for name, value in options.items()}

    def sent(self) -> list[Sent]:
        """Return this package's metrics so far."""
        with suppress(BlockingIOError):
            while True:
                for line in self._socket.recv(_DATAGRAM).decode().splitlines():
                    self._keep(line)
        return self._sent

    def forget(self) -> None:
        """Forget what was sent so far."""
        self.sent().clear()

    def counts(self, *tags: str) -> Counter[tuple[str, ...]]:
        """Return the sums of all counters, by name and the values of some tags."""
        sums: Counter[tuple[str, ...]] = Counter()
        for one in self.sent():
            if one.kind == "c":
                sums[one.name, *(one.tags.get(tag, "") for tag in tags)] += int(one.value)
        return sums

    def values(self, name: str) -> list[float]:
        """Return the values of a gauge or a timer, in the order in which they came."""
        return [one.value for one in self.sent() if one.name == name]

    def close(self) -> None:
        """Listen no longer."""
        self._socket.close()

    def _keep(self, line: str) -> None:
        match = _LINE.fullmatch(line)
        if match and match["name"].startswith(_OWN):
            pairs = (pair.partition("=") for pair in match["tags"].split(",")[1:])
            tags = {tag: value for tag, _, value in pairs}
            self._sent.append(Sent(match["name"].removeprefix(_OWN), match["kind"], float(match["value"]), tags))


#: Airflow's copies of ``Stats``: a task's process sets up the one, the triggerer the other. Before 3.2 there is one.
TASKS, TRIGGERERS = "airflow.sdk.observability", "airflow.observability"


def set_up(copy: str, backend: Any) -> None:
    """Set a copy of Airflow's ``Stats`` up, as the process does that it is for.

    :param copy: which; an older Airflow has one for all
    :param backend: what takes the metrics; ``None``: none does
    """
    try:
        stats = import_module(f"{copy}.stats")
    except ImportError:
        import_module("airflow.stats").Stats.instance = backend
        return
    factory = backend and (lambda: backend)
    if hasattr(stats, "initialize"):
        stats.initialize(factory=factory, export_legacy_names=True)
    else:
        stats.Stats.initialize(factory=factory)


def statsd_backend() -> Any:
    """Return Airflow's own backend for StatsD, as its options say."""
    try:
        return import_module(f"{TASKS}.metrics.statsd_logger").get_statsd_logger()
    except ImportError:
        return import_module("airflow.metrics.statsd_logger").get_statsd_logger(None)


def otel_backend(provider: Any) -> Any:
    """Return Airflow's own backend for OpenTelemetry.

    :param provider: the meters' provider
    """
    try:
        module = import_module(f"{TASKS}.metrics.otel_logger").otel_logger
    except ImportError:
        module = import_module("airflow.metrics.otel_logger")
    return module.SafeOtelLogger(provider)
