"""Fixtures of the tests of waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulator.proxy import Drop, Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """Run a proxy that drops each tunnel as soon as it is asked for."""
    with Proxy().serve() as proxy:
        proxy.drops = [Drop.ASKED] * 999
        yield proxy
