"""What the documentation's measurements are drawn on."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def drawing(path: Path, count: int) -> Iterator[Any]:
    """Yield so many axes side by side, and write what was drawn on them.

    :param path: an SVG file
    :param count: how many
    """
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "benchmarks"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, count, figsize=(11, 3.4), layout="constrained")
    yield axes
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})
