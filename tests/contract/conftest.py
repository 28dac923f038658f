"""One run that checks every rule; several tests look at it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.support import RUN, documented_policy, new_run, served, state

if TYPE_CHECKING:
    from tests.contract.run import Run


@dataclass
class Seen:
    """What was seen of the run.

    :param run: the run
    :param code: its exit code
    :param before: the account's tables and backups before it
    :param after: those after it
    :param requests: operation and body of each call
    :param times: when each call was made, by operation
    :param throttled: how many were throttled
    """

    run: Run
    code: int
    before: tuple[list[str], list[str]]
    after: tuple[list[str], list[str]]
    requests: list[tuple[str, dict[str, Any]]]
    times: dict[str, list[float]]
    throttled: int = 0
    verdicts: dict[str, tuple[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        """Read the verdicts."""
        self.verdicts = {one.rule: (one.verdict, one.told) for one in self.run.verdicts}


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run in the simulated account, beside others' tables and backups, under the policy of the documentation."""
    path = tmp_path_factory.mktemp("aws-test") / "result.json"
    with served() as plane:
        plane.create_table("orders")
        plane.tag_table("orders", team="shop")
        plane.add_backups("orders", 3)
        before = state(plane)
        plane.policy = documented_policy()
        plane.requests.clear()
        times: defaultdict[str, list[float]] = defaultdict(list)
        plane.after = lambda operation: times[operation].append(plane.clock.time())
        # Of what may be done beside, what exceeds no rate.
        run = new_run(path, also=["system-backup"], run=RUN)
        code = run.run()
        requests, throttled = list(plane.requests), sum(plane.throttled.values())
        plane.policy = None
        return Seen(run, code, before, state(plane), requests, times, throttled)
