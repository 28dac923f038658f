"""AWS.md, "Tags": the tagging API, which lags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.contract.account import TAG
from tests.contract.rule import expect, needs, rule, same

if TYPE_CHECKING:
    from tests.contract.world import World

# AWS.md, "Tags": it lags. Tags of a new table are waited for so many seconds (chosen).
_PATIENCE = 300.0
_PAGE = 100


def tagged(world: World, **wanted: list[str]) -> set[str]:
    """Return the names of the tables that GetResources returns, of those with the run's tag and others."""
    filters = [{"Key": key, "Values": values} for key, values in wanted.items()]
    filters.append({"Key": TAG, "Values": [world.account.run]})
    return set(names(world, TagFilters=filters))


def names(world: World, **request: Any) -> list[str]:
    """Return the names of the tables on all pages of GetResources."""
    cursors = ("PaginationToken", "PaginationToken")
    pages = world.account.pages(
        "get_resources", "ResourceTagMappingList", cursors, ResourceTypeFilters=["dynamodb:table"], **request
    )
    return [found["ResourceARN"].rpartition("/")[2] for page in pages for found in page]


def both(world: World) -> tuple[str, str]:
    """Return two tables with tags, once GetResources returns them."""
    orders, source = world.orders, world.source
    seen = world.until(lambda: {orders, source} <= tagged(world) or None, _PATIENCE, 5)
    needs(seen, f"tags of new tables were not listed within {_PATIENCE:.0f} s")
    return orders, source


@rule("Tags")
def filters_all_match_and_values_are_alternatives(world: World) -> None:
    """GetResources: filters of several keys all match, values of one are alternatives."""
    orders, source = both(world)
    same(tagged(world, kind=["plain"]) & {orders, source}, {orders}, "the tables with one value")
    same(tagged(world, kind=["plain", "rich"]) & {orders, source}, {orders, source}, "the tables with either value")
    same(tagged(world, kind=["neither"]), set(), "the tables with another value")


@rule("Tags")
def tables_without_tags_are_not_listed(world: World) -> None:
    """GetResources never returns tables that were never tagged."""
    orders, _ = both(world)
    young = world.young
    found = names(world)
    needs(orders in found, "the listing was behind")
    expect(young not in found, "it returns one")


@rule("Tags")
def tables_that_are_gone_are_listed(world: World) -> None:
    """GetResources returns tables that are gone, for hours."""
    assert world.dropping
    needs(world.account.name("dropped") in tagged(world), "it returned none")
