"""Coverage reports as the page shows them, whatever they hold."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ddb_backup.coverage.status import Status
from airflow_ddb_backup.coverage.view import read_report, render, render_refusal
from tests.coverage_reports import CHECKED, DAY, HOUR, MARKUP, MAX_AGE, NOW, dozen, forged, many, report, table


class Reader(HTMLParser):
    """Reads a page as a browser does: its elements, and its text.

    :param page: the page
    """

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.parts: list[str] = []
        self._in_style = False
        self.feed(page.decode())
        self.close()
        self.text = " ".join("".join(self.parts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, dict(attrs)))
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        """Note the end of one."""
        self._in_style = False

    def handle_data(self, data: str) -> None:
        """Note a text."""
        if not self._in_style:
            self.parts.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of each element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def read(*extras: Any, status: str = "") -> Reader:
    """Return the page of some reports."""
    return Reader(render([read_report(extra, NOW) for extra in extras], status, NOW, "a-nonce"))


def order(page: Reader, *names: str) -> list[str]:
    """Return names in the order in which the page has them."""
    return sorted(names, key=page.text.index)


def test_a_table_shows_all_that_is_known_of_it() -> None:
    """Status, age of the newest backup, its time, number and size of all backups."""
    page = read(report(table("orders", "late", 30 * HOUR)))
    made = (CHECKED - 30 * HOUR).strftime("%Y-%m-%d %H:%M UTC")
    assert f"orders !late 1 d 6 h {made} 30 38.6 GB" in page.text


def test_a_report_says_whose_it_is_and_when_it_was_made() -> None:
    """Account, region, age, and what fresh means."""
    text = read(dozen()).text
    assert "Account 111122223333, us-east-1" in text
    assert f"Checked 3 h 0 min ago, at {CHECKED:%Y-%m-%d %H:%M} UTC." in text
    assert "at most 26 h old" in text


def test_those_that_need_attention_come_first() -> None:
    """Unknown, none, late, fresh; the oldest first; then by name."""
    page = read(
        report(
            table("fresh-b"),
            table("fresh-a"),
            table("late-by-hours", "late", 30 * HOUR),
            table("late-by-days", "late", 3 * DAY),
            table("without", "none", None),
            table("failed", "unknown", None),
        )
    )
    names = ["failed", "without", "late-by-days", "late-by-hours", "fresh-a", "fresh-b"]
    assert order(page, *names) == names


def test_the_bar_shows_the_counts() -> None:
    """Each status has its share, and those without tables none; the numbers stand below it."""
    page = read(report(table("a", "late"), table("b"), table("c"), table("d")))
    shown = [(one["class"], float(one["x"] or 0), float(one["width"] or 0)) for one in page.of("rect")]
    assert shown == [("late", 0, 25), ("fresh", 25, 75)]
    assert "?0 unknown could not be checked ✕0 none no AVAILABLE backup !1 late" in page.text


def test_a_filter_shows_one_status() -> None:
    """The link to it is marked as the present one."""
    page = read(dozen(), status="late")
    assert "customers" in page.text
    assert "orders" not in page.text
    links = [(one["href"], one.get("aria-current")) for one in page.of("a")]
    assert links == [
        ("?", None),
        ("?status=unknown", None),
        ("?status=none", None),
        ("?status=late", "page"),
        ("?status=fresh", None),
    ]


@pytest.mark.parametrize("status", ["", "green", MARKUP])
def test_any_other_filter_shows_all(status: str) -> None:
    """A link from another version does no harm."""
    page = read(dozen(), status=status)
    assert "orders" in page.text
    assert "ledger" in page.text
    assert [one["href"] for one in page.of("a") if one.get("aria-current")] == ["?"]


def test_a_status_without_tables_is_said() -> None:
    """An empty table would look like a fault."""
    assert "No table is late." in read(report(table("orders")), status="late").text


def test_point_in_time_recovery_is_shown_where_it_was_read() -> None:
    """Other reports have no such column."""
    text = read(report(table("a", point_in_time_recovery=True), table("b", point_in_time_recovery=False))).text
    assert "Point-in-time recovery" in text
    assert re.search(r"38.6 GB on .* 38.6 GB off", text)
    assert "Point-in-time recovery" not in read(report(table("a"))).text


def test_every_account_and_region_has_its_part() -> None:
    """In their order; the filter counts all."""
    page = read(dozen(account="999900001111"), dozen(region="eu-west-1"), dozen())
    titles = ["111122223333, eu-west-1", "111122223333, us-east-1", "999900001111, us-east-1"]
    assert order(page, *titles) == titles
    assert "All 36" in page.text


def test_help_where_there_is_no_report() -> None:
    """It says what to write, and what a report needs."""
    text = read().text
    assert "There is no report yet." in text
    assert "DynamoDBBackupCoverageOperator" in text
    assert "outlets=[Asset(" in text


def test_a_report_is_stale_once_it_is_older_than_its_backups_may_be() -> None:
    """Its part is grey, and says so."""
    young = read(dozen(checked_at=(NOW - MAX_AGE).isoformat()))
    old = read(dozen(checked_at=(NOW - MAX_AGE - HOUR).isoformat()))
    assert "Stale" not in young.text
    assert "Stale" in old.text
    assert [one.get("class") for one in [*young.of("section"), *old.of("section")]] == [None, "stale"]


@pytest.mark.parametrize(
    "members",
    [
        {"checked_at": None},
        {"checked_at": "yesterday"},
        {"checked_at": (NOW + DAY).isoformat()},
        {"max_age_seconds": None},
        {"max_age_seconds": -1},
        {"max_age_seconds": True},
    ],
)
def test_a_report_of_unknown_age_is_stale(members: dict[str, Any]) -> None:
    """Also one from the future."""
    text = read(dozen(**members)).text
    assert "Stale" in text
    assert "It does not say when it was made, or how old a fresh backup may be." in text


def test_the_reason_of_a_failure_is_shown() -> None:
    """As the task has it."""
    assert "The task has failed: 2 tables are late." in read(dozen(error="2 tables are late.")).text


def test_a_report_of_another_version_is_shown_with_a_warning() -> None:
    """Members that are not known are left out."""
    text = read(dozen(version=2, colour="blue")).text
    assert "It is not of version 1" in text
    assert "customers" in text


def test_a_report_that_lists_only_some_tables_says_so() -> None:
    """The counts are those of the report: what it leaves out is not taken for fresh."""
    page = read(dozen(tables=[table("orders")]))
    assert "It lists 1 of 12 tables." in page.text
    assert "!2 late" in page.text


def test_what_is_listed_counts() -> None:
    """Not what a report says that it has listed."""
    page = read(report(table("orders", "late"), counts={"fresh": 1}))
    assert "!1 late" in page.text
    assert "✓0 fresh" in page.text


def test_a_status_that_is_not_known_is_unknown() -> None:
    """It is never taken for fresh."""
    page = read(report(table("orders", "superb"), table("carts", "FRESH")))
    assert "?2 unknown" in page.text
    assert "It has statuses that this page does not know." in page.text


@pytest.mark.parametrize("member", sorted(report()))
@pytest.mark.parametrize("value", [None, [], {}, 7, -1, True, 1e300, "x", [None], [[]]])
def test_any_member_may_be_something_else(member: str, value: Any) -> None:
    """The page is shown, with what can be read."""
    assert read(dozen(**{member: value})).of("h2")


@pytest.mark.parametrize("member", sorted(report()))
def test_any_member_may_be_missing(member: str) -> None:
    """The page is shown, with what there is."""
    extra = dozen()
    del extra[member]
    assert read(extra).of("h2")


@pytest.mark.parametrize("member", sorted(table("orders")))
@pytest.mark.parametrize("value", [None, [], {}, 7, -1, True, 1e300, 10**400, "9999-12-31T23:59:59-12:00", "\ud800"])
def test_any_member_of_a_table_may_be_something_else(member: str, value: Any) -> None:
    """The other tables are shown, and those without a name are counted."""
    extra = report(table("carts"), table("orders"))
    extra["tables"][1][member] = value
    text = read(extra).text
    assert "carts" in text
    assert ("1 of its tables can't be read." in text) == (member == "table_name" and not isinstance(value, str))


def elements(page: Reader) -> list[tuple[str, list[str]]]:
    """Return the elements of a page with the names of their attributes."""
    return [(tag, sorted(attributes)) for tag, attributes in page.elements]


def test_markup_is_shown_as_it_is() -> None:
    """A forged report has no elements of its own, and no attributes."""
    extra = forged()
    page = read(extra)
    assert page.text.count(MARKUP) >= 5
    harmless = json.loads(json.dumps(extra).replace(json.dumps(MARKUP)[1:-1], "x"))
    assert elements(page) == elements(read(harmless))


def test_no_character_hides_another() -> None:
    """A name with a change of direction, or of no width, would look like another table's."""
    text = read(report(table("orders\u202e\u200b\x1b[2J"))).text
    assert "orders\\u202e\\u200b\\x1b[2J" in text


#: texts, and what reports have in place of them
TEXTS = st.text() | st.text(alphabet="<>\"'&/={}%-! \n\x00\ud800\u202eabc") | st.just(MARKUP)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.sampled_from([*Status, CHECKED.isoformat()]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
TABLES = st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(table("x"), VALUES)) | VALUES, max_size=4)
REPORTS = st.fixed_dictionaries({}, optional=dict.fromkeys(report(), VALUES) | {"tables": TABLES | VALUES}) | VALUES
OURS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "h1",
        "h2",
        "nav",
        "ul",
        "li",
        "a",
        "b",
        "section",
        "p",
    ),
    *("strong", "time", "svg", "rect", "span", "small", "div", "table", "caption", "thead", "tr", "th", "tbody", "td"),
}


@given(extras=st.lists(REPORTS, min_size=1, max_size=2), status=TEXTS)
def test_whatever_a_report_holds_is_text(extras: list[Any], status: str) -> None:
    """Every page has the same elements and attributes, and the style alone has the nonce."""
    page = read(*extras, status=status)
    assert {tag for tag, _ in page.elements} <= OURS
    attributes = {name for _, found in page.elements for name in found}
    assert not [name for name in attributes if name.startswith("on") or name in {"src", "style"}]
    assert [tag for tag, found in page.elements if "nonce" in found] == ["style"]
    assert {one["href"] for one in page.of("a")} == {"?", *(f"?status={status}" for status in Status)}


@pytest.mark.load
def test_a_page_ends_somewhere() -> None:
    """The first 10,000 tables are shown, and what to do for the others is said."""
    page = read(many(6_000), many(6_000, region="eu-west-1"))
    assert len(page.of("tr")) == 10_000 + 2
    assert "The first 4,000 are shown: choose a status." in page.text


def test_a_backup_from_after_the_check_has_no_age() -> None:
    """A clock may be off."""
    assert "fresh 0 min 20" in read(report(table("orders", "fresh", -HOUR))).text


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "\u2013"), (2, "2 bytes"), (2**63 - 1, "8,192.0 PB"), (2**63, "\u2013")]
)
def test_any_size_is_shown(size: int, shown: str) -> None:
    """Up to what 64 bits hold; no table has more."""
    assert f" 30 {shown}" in read(report(table("orders", bytes=size))).text


def test_a_refusal_says_why() -> None:
    """And nothing else."""
    page = Reader(render_refusal("You are not signed in.", "a-nonce"))
    assert page.text.endswith("DynamoDB backups You are not signed in.")


def test_a_screen_reader_finds_its_way() -> None:
    """Landmarks, a caption, and a heading for each column and row."""
    page = read(dozen())
    assert len(page.of("main")) == len(page.of("nav")) == len(page.of("caption")) == 1
    assert [one["scope"] for one in page.of("th")] == ["col"] * 5 + ["row"] * 12
    assert page.of("html") == [{"lang": "en"}]
    labels = {one["aria-labelledby"] for _, one in page.elements if "aria-labelledby" in one}
    assert labels == {one["id"] for _, one in page.elements if "id" in one}
