"""What a triggerer takes: memory, threads and open connections, sampled, and how fast they grow."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Sample(NamedTuple):
    """What processes take at a time.

    :param seconds: after the start
    :param memory: the sum of their resident set sizes, in MB
    :param threads: their threads
    :param connections: their open TCP connections
    :param files: their open files, connections among them
    """

    seconds: float
    memory: float
    threads: float
    connections: float
    files: float


def sample(seconds: float, processes: Iterable[psutil.Process]) -> Sample:
    """Return what processes take now.

    :param seconds: after the start
    :param processes: the processes
    """
    memory, threads, connections, files = 0.0, 0, 0, 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            opened = [one for one in process.net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED]
            memory += process.memory_info().rss / 1e6
            threads += process.num_threads()
            files += process.num_fds()
            connections += len(opened)
    return Sample(seconds, memory, threads, connections, files)


def rise(samples: Sequence[Sample], what: str, since: float) -> float:
    """Return by how much a figure grows in an hour: the slope of the line through it, by least squares.

    :param samples: the samples
    :param what: the figure
    :param since: seconds after the start, when it is warm
    """
    points = [(one.seconds, float(getattr(one, what))) for one in samples if one.seconds >= since]
    middle = sum(x for x, _ in points) / len(points)
    level = sum(y for _, y in points) / len(points)
    spread = sum((x - middle) ** 2 for x, _ in points)
    return 3600 * sum((x - middle) * (y - level) for x, y in points) / spread
