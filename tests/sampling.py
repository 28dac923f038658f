"""How much of what repeats itself is run. No test settings: processes that tests start import it too."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_BY_DEFAULT = 25
#: of each property, so many examples are tried
EXAMPLES = int(os.environ.get("EXAMPLES", _BY_DEFAULT))
#: whether of the cases under load a part will do
FEW = EXAMPLES < _BY_DEFAULT
_ONE_IN = 3


def sampled(nodes: Iterable[str]) -> set[str]:
    """Return one in three of each test's cases, one at least: the same whenever the test has these.

    :param nodes: the names of the cases
    """
    cases = defaultdict(list)
    for node in nodes:
        cases[node.partition("[")[0]].append(node)
    return {
        node
        for test, each in cases.items()
        for node in random.Random(test).sample(each, -(-len(each) // _ONE_IN))  # noqa: S311  # no secret
    }
