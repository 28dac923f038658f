"""The simulated control plane in a process of its own: prints its connection and backups, then its calls."""

from __future__ import annotations

import json
import sys

from tests.simulator.control_plane import ControlPlane

# Seconds from its creation until a backup is AVAILABLE. They were created over half that time.
CREATING_FOR = 60.0
_TABLES = 10
# Calls a second, four times the documented rate.
_NEIGHBOUR = 20.0


def main(count: int, kind: str) -> None:
    """Serve until standard input closes.

    :param count: backups that are CREATING
    :param kind: ``neighbour``: another client uses up the rate of ListBackups
    """
    with ControlPlane(creating_for=CREATING_FOR).serve() as plane:
        for table in range(_TABLES):
            plane.create_table(f"table-{table}")
        arns = [
            plane.add_backups(f"table-{number % _TABLES}", 1, age=number / count * CREATING_FOR / 2)[0]
            for number in range(count)
        ]
        if kind == "neighbour":
            plane.add_neighbour("ListBackups", _NEIGHBOUR)
        plane.calls.clear()
        print(json.dumps({"connection": plane.connection(), "arns": arns}), flush=True)  # noqa: T201  # it is asked for
        sys.stdin.read()
        print(json.dumps({"calls": plane.calls, "throttled": plane.throttled}), flush=True)  # noqa: T201  # as above


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
