"""What goes wrong, and when: all of it made of one seed beforehand. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from tests.simulator import faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator.faults import Fault

#: seconds between two events, on average
GAP = 12.0
#: the operations whose calls go wrong
OPERATIONS = (
    "CreateBackup",
    "DeleteBackup",
    "DeleteTable",
    "DescribeBackup",
    "DescribeContinuousBackups",
    "DescribeTable",
    "ListBackups",
    "ListTables",
    "ListTagsOfResource",
    "RestoreTableFromBackup",
    "RestoreTableToPointInTime",
    "Scan",
    "TagResource",
    "UpdateContinuousBackups",
)
#: the operations whose caller is killed once they have taken effect, and before it knows
MOMENTS = ("CreateBackup", "DeleteBackup", "DeleteTable", "RestoreTableFromBackup", "RestoreTableToPointInTime")
#: by name; those of TLS and of a proxy that refuses for good are left out
FAULTS: dict[str, Fault] = {
    name: fault
    for name, fault in vars(faults).items()
    if isinstance(fault, faults.Fault) and "TLS" not in name and "REFUSED" not in name
}
#: programs that are killed and restarted. The second triggerer is not: its memory is looked at.
PROGRAMS = ("worker-1", "worker-2", "triggerer-1", "scheduler")
# By how often they come.
_KINDS = {
    "fault": 12,
    "outage": 1,
    "throttled": 1,
    "neighbour": 2,
    "lag": 1,
    "kill caller": 5,
    "kill task": 3,
    "kill program": 3,
    "restart program": 1,
    "clear": 1,
}


@dataclass(frozen=True)
class Event:
    """One thing that goes wrong.

    :param at: seconds after the start
    :param kind: what goes wrong
    :param of: the operation or the program; empty: whichever ``chance`` falls on
    :param fault: the name of the fault
    :param times: how many calls, or calls a second
    :param seconds: how long it lasts, or until what was killed is started again
    :param chance: from 0 to 1, which of the candidates that there are then
    """

    at: float
    kind: str
    of: str
    fault: str
    times: int
    seconds: float
    chance: float

    def __str__(self) -> str:
        """Say it in a line."""
        what = {"fault": f"{self.fault} x{self.times}", "neighbour": f"{self.times}/s"}.get(self.kind, "")
        return f"{self.at:7.1f}  {self.kind:<15}  {self.of} {what}"


def tape(seed: int, seconds: float) -> Iterator[Event]:
    """Return what goes wrong in so many seconds.

    :param seed: the same seed makes the same events
    :param seconds: how long
    """
    random, at = Random(seed), 0.0  # noqa: S311  # no secret
    while (at := at + random.expovariate(1 / GAP)) < seconds:
        (kind,) = random.choices(list(_KINDS), list(_KINDS.values()))
        of = ""
        if kind in {"fault", "neighbour"}:
            of = random.choice(OPERATIONS if kind == "fault" else ("CreateBackup", "DescribeBackup", "ListBackups"))
        elif kind == "kill caller":
            of = random.choice(MOMENTS)
        elif kind.endswith("program"):
            of = random.choice(PROGRAMS)
        yield Event(
            at=at,
            kind=kind,
            of=of,
            fault=random.choice(list(FAULTS)) if kind == "fault" else "",
            times=random.randint(2, 8) if kind == "neighbour" else random.randint(1, 4),
            seconds=random.uniform(1, 40) if kind in {"outage", "throttled", "neighbour"} else random.uniform(1, 15),
            chance=random.random(),
        )
