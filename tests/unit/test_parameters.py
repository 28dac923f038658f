"""The few checks that the values of parameters are made of."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import partial
from traceback import format_exception
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st

from airflow_ddb_backup.exceptions import InvalidValueError
from airflow_ddb_backup.limits import LONGEST_ARN
from airflow_ddb_backup.parameters import (
    LATER,
    check_botocore_config,
    check_choice,
    check_count,
    check_flag,
    check_interval,
    check_moment,
    check_name,
    check_patterns,
    check_seconds,
    check_span,
    check_structure,
    check_table,
    check_texts,
    check_timeout,
    is_pattern,
    is_table,
    literal,
    rendered,
)

if TYPE_CHECKING:
    from collections.abc import Callable

TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"
PROXY = "http://shop:hunter2@proxy"
BACKUP_ARN = f"{TABLE_ARN}/backup/01795422913684-770da1ee"
LEGAL = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
# JSON in UTF-8 holds no lone surrogates.
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


class Choice(StrEnum):
    """Some choices."""

    REUSE = "reuse"
    FAIL = "fail"


class Output:
    """Stands for another task's output."""

    def resolve(self) -> None:
        """Have what every reference has."""


TEMPLATES = ["{{ params.table }}", "{% if x %}a{% endif %}", "x{# #}", Output(), print]
#: every check, by what it checks
CHECKS: dict[str, Callable[[Any], object]] = {
    "name": partial(check_name, "parameter"),
    "table": partial(check_table, "parameter"),
    "seconds": lambda value: check_seconds("parameter", value, 1, 10),
    "interval": partial(check_interval, "parameter"),
    "span": partial(check_span, "parameter"),
    "choice": lambda value: check_choice("parameter", value, Choice),
    "count": partial(check_count, "parameter"),
    "flag": partial(check_flag, "parameter"),
    "texts": lambda value: check_texts("parameter", value, "a list of texts"),
    "patterns": partial(check_patterns, "parameter"),
    "tables": partial(check_patterns, "parameter", arns=True),
    "structure": lambda value: check_structure("parameter", value, ("Read", "Write")),
}
NAMED: dict[str, Callable[[Any], object]] = {
    "timeout": check_timeout,
    "botocore_config": check_botocore_config,
}
#: those of values that may be templates
TEMPLATED = ("name", "table", "count", "flag", "texts", "patterns", "tables")


@pytest.mark.parametrize("check", CHECKS)
@given(value=JSON | st.binary() | st.timedeltas())
def test_a_check_returns_or_names_the_parameter(check: str, value: object) -> None:
    """It never raises anything else."""
    try:
        CHECKS[check](value)
    except InvalidValueError as error:
        assert str(error).startswith("parameter must be ")  # noqa: PT017  # it may also return


@pytest.mark.parametrize("name", NAMED)
@given(value=JSON | st.binary() | st.timedeltas())
def test_a_check_of_one_parameter_knows_its_name(name: str, value: object) -> None:
    """It never raises anything else."""
    try:
        NAMED[name](value)
    except InvalidValueError as error:
        assert str(error).startswith(f"{name} must be ")  # noqa: PT017  # it may also return


class TestLater:
    """Templated fields while the DAG is parsed."""

    @pytest.mark.parametrize("value", TEMPLATES)
    def test_what_is_rendered_later_is_not_known_yet(self, value: object) -> None:
        """Templates, other tasks' outputs and callables have no value yet."""
        assert literal(value) is LATER
        assert literal([value, value]) is LATER

    @pytest.mark.parametrize("check", TEMPLATED)
    def test_it_passes_the_checks_of_templated_values(self, check: str) -> None:
        """They are made again in ``execute``."""
        CHECKS[check](LATER)

    @pytest.mark.parametrize("value", ["orders", "", None, 5, True, [], (), {}, 1.5])
    def test_a_literal_is_known(self, value: object) -> None:
        """And checked at once."""
        assert literal(value) == value

    @pytest.mark.parametrize("kind", [list, tuple])
    def test_the_known_members_of_a_list_are_known(self, kind: type) -> None:
        """The others are left out until they are rendered."""
        assert literal(kind(["orders", "{{ params.table }}", Output(), "customers"])) == ["orders", "customers"]

    def test_the_known_values_of_a_dict_are_known(self) -> None:
        """Airflow renders no keys."""
        tags = {"backup": "nightly", "team": "{{ params.team }}", "year": ["2026", "{{ ds }}"]}
        assert literal(tags) == {"backup": "nightly", "year": ["2026"]}
        assert literal({"team": "{{ params.team }}"}) is LATER

    @pytest.mark.parametrize("text", ["[[ params.t ]]", "<% x %>", "${x}", "((x))", "\\VAR{x}", "# for t in x"])
    def test_a_dag_may_have_other_delimiters(self, text: str) -> None:
        """``jinja_environment_kwargs``."""
        assert literal(text) is LATER

    @pytest.mark.parametrize(
        "text", ["orders-[0-9", "or", "a b", TABLE_ARN, "eu-west-1", "2026-11-24T02:00:00+00:00", "true ", "1.0", "x,y"]
    )
    def test_what_no_template_can_mean_is_known(self, text: str) -> None:
        """And refused when the DAG is parsed, if it is wrong."""
        assert literal(text) == text

    def test_in_execute_everything_is_known(self) -> None:
        """Also a text that looks like a template."""
        assert rendered("{{ params.table }}") == "{{ params.table }}"


class TestNames:
    """Tables, backups, and what their names begin with."""

    @given(name=st.text(LEGAL, min_size=3, max_size=255))
    def test_legal_names_pass(self, name: str) -> None:
        """A table goes by the same characters as a backup."""
        assert check_name("table_name", name) == check_table("table_name", name) == name

    @pytest.mark.parametrize("name", [None, "", "ab", "a" * 256, "a b c", "a/b/c", "öre", 123, "abc\n", TABLE_ARN])
    def test_other_names_are_refused(self, name: object) -> None:
        """The refusal shows the value and the rule."""
        with pytest.raises(InvalidValueError, match="backup_name must be 3 to 255 characters") as refusal:
            check_name("backup_name", name)
        assert repr(name) in str(refusal.value)

    @pytest.mark.parametrize("name", ["abc", "a" * 255, "A.b-c_9", TABLE_ARN])
    def test_a_table_goes_by_its_name_or_its_arn(self, name: str) -> None:
        """As DynamoDB takes them."""
        assert check_table("table_name", name) == name
        assert is_table(name)

    @pytest.mark.parametrize(
        "name",
        [
            None,
            "",
            "ab",
            "a" * 256,
            "a b c",
            "öre",
            123,
            "arn:aws:s3:::bucket",
            TABLE_ARN + "x" * LONGEST_ARN,
            BACKUP_ARN,
        ],
    )
    def test_other_tables_are_refused(self, name: object) -> None:
        """The refusal shows the value and the rule."""
        with pytest.raises(InvalidValueError, match="table_name must be a table's name, 3 to 255") as refusal:
            check_table("table_name", name)
        assert repr(name) in str(refusal.value)

    @pytest.mark.parametrize("check", [check_name, check_table])
    def test_a_number_where_text_must_be_is_told_as_such(self, check: Callable[[str, object], object]) -> None:
        """With native rendering Jinja makes a number of a name that is all digits."""
        with pytest.raises(InvalidValueError, match="of type int, not text; where templates render to native objects"):
            check("table_name", 20261001)


class TestTimes:
    """Timeouts, intervals and spans."""

    @pytest.mark.parametrize(("value", "seconds"), [(60, 60), (7200, 7200), (90.5, 90.5), (timedelta(minutes=2), 120)])
    def test_timeouts_become_seconds(self, value: object, seconds: float) -> None:
        """60 to 7200, however they are written."""
        assert check_timeout(value) == seconds

    @pytest.mark.parametrize("value", [59.9, 7201, 0, -1, None, "60", True, float("nan"), timedelta(hours=3)])
    def test_other_timeouts_are_refused(self, value: object) -> None:
        """The refusal shows the value and the rule."""
        with pytest.raises(InvalidValueError, match="timeout must be 60 to 7200 seconds") as refusal:
            check_timeout(value)
        assert repr(value) in str(refusal.value)

    def test_a_longer_limit_is_told(self) -> None:
        """A restore may take days."""
        assert check_timeout(timedelta(days=6), 604_800) == 518_400
        with pytest.raises(InvalidValueError, match="timeout must be 60 to 604800 seconds"):
            check_timeout(timedelta(days=8), 604_800)

    @given(value=st.floats(exclude_min=True, min_value=0, max_value=3e8) | st.integers(1, 300_000_000))
    def test_intervals_are_above_zero(self, value: float) -> None:
        """Any time that a timedelta can hold will do."""
        assert check_interval("poll_interval", value) == value

    @pytest.mark.parametrize("value", [0, -1, None, "5", True, float("nan"), float("inf"), timedelta(0)])
    def test_other_intervals_are_refused(self, value: object) -> None:
        """The refusal shows the parameter, the value and the rule."""
        with pytest.raises(InvalidValueError, match="poll_interval must be more than 0 seconds") as refusal:
            check_interval("poll_interval", value)
        assert repr(value) in str(refusal.value)

    @pytest.mark.parametrize("value", [None, timedelta(microseconds=1)])
    def test_a_span_may_be_left_out(self, value: timedelta | None) -> None:
        """Any length above 0 will do."""
        assert check_span("reuse_within", value) == value

    def test_now_less_any_span_is_a_date(self) -> None:
        """A century is as good as any longer time."""
        assert check_span("reuse_within", timedelta.max) == timedelta(days=36_500)

    @pytest.mark.parametrize("value", [timedelta(0), timedelta(-1), 24, "1h", False])
    def test_other_spans_are_refused(self, value: object) -> None:
        """A number has no unit."""
        with pytest.raises(InvalidValueError, match="reuse_within must be a timedelta above 0, or None"):
            check_span("reuse_within", value)


class TestCountsAndFlags:
    """Numbers and switches, also as the plain text that templates render to."""

    @given(number=st.integers(0, 10**17))
    def test_a_template_may_render_a_number_to_text(self, number: int) -> None:
        """Unless rendering is native."""
        assert check_count("max_tables", str(number)) == check_count("max_tables", number) == number

    @pytest.mark.parametrize(
        "value", [None, True, -1, 1.0, "", "-1", "1.0", " 1", "\uff11", "1_000", "0x1", "9" * 19, [1]]
    )
    def test_other_numbers_are_refused(self, value: object) -> None:
        """A text that Python reads as a number is not always what somebody meant."""
        with pytest.raises(InvalidValueError, match="max_tables must be a whole number, 0 or more"):
            check_count("max_tables", value)

    def test_a_number_has_its_lowest(self) -> None:
        """``max_tables=0`` would select nothing."""
        assert check_count("max_tables", 1, lowest=1) == 1
        with pytest.raises(InvalidValueError, match="a whole number, 1 or more; got 0"):
            check_count("max_tables", 0, lowest=1)

    @pytest.mark.parametrize("digits", [19, 5000])
    def test_a_number_has_its_highest(self, digits: int) -> None:
        """One that Python can't show would end a task in the midst of a message."""
        with pytest.raises(InvalidValueError, match=r"max_tables must be a whole number, 1 to 2\*\*63 - 1; got "):
            check_count("max_tables", 10**digits, lowest=1)

    @pytest.mark.parametrize(("value", "flag"), [(True, True), ("true", True), ("False", False), (False, False)])
    def test_a_switch_may_be_text(self, value: object, flag: bool) -> None:
        """As Python, JSON and YAML spell it."""
        assert check_flag("plan_only", value) is flag

    @pytest.mark.parametrize("value", [None, 0, 1, "", "no", "yes", "1", "true ", []])
    def test_other_switches_are_refused(self, value: object) -> None:
        """A "no" must not mean "yes"."""
        with pytest.raises(InvalidValueError, match="plan_only must be True or False"):
            check_flag("plan_only", value)

    @pytest.mark.parametrize("value", ["reuse", Choice.REUSE])
    def test_a_choice_is_one_of_all(self, value: object) -> None:
        """By its text."""
        assert check_choice("if_exists", value, Choice) is Choice.REUSE

    @pytest.mark.parametrize("value", ["replace", "REUSE", "", None, 5, ["reuse"]])
    def test_other_choices_are_refused(self, value: object) -> None:
        """The refusal lists those that there are."""
        with pytest.raises(InvalidValueError, match="if_exists must be one of 'reuse', 'fail'; got"):
            check_choice("if_exists", value, Choice)


class TestLists:
    """Names and patterns."""

    @pytest.mark.parametrize("value", [[], ["orders", "orders-*"], ("a?c",), {"[abc]*"}, ["orders-[!0-9]"]])
    def test_names_and_patterns_pass(self, value: Any) -> None:
        """In any collection."""
        assert check_patterns("exclude", value) == tuple(value)

    @pytest.mark.parametrize("value", [None, "orders", b"orders", 5, {"orders": 1}])
    def test_anything_but_a_list_is_refused(self, value: object) -> None:
        """A text is a sequence of its letters, which nobody means."""
        with pytest.raises(InvalidValueError, match="exclude must be a list of names"):
            check_patterns("exclude", value)

    @pytest.mark.parametrize(
        "text", ["ab", "", "??", "[", "orders-[", "[]", "[!]", "orders *", "öre*", "[z-a]??", 5, None]
    )
    def test_what_can_match_no_name_is_refused(self, text: object) -> None:
        """It would protect nothing, in silence."""
        with pytest.raises(InvalidValueError, match="keep_names must be a list of names") as refusal:
            check_patterns("keep_names", ["orders", text])
        assert repr(text) in str(refusal.value)

    @given(pattern=st.text(LEGAL + "*?[]!", min_size=1, max_size=8))
    def test_a_pattern_that_passes_is_read_as_fnmatch_reads_it(self, pattern: str) -> None:
        """A literal part of it matches itself."""
        try:
            check_patterns("keep_names", [pattern])
        except InvalidValueError:
            return
        if is_pattern(pattern) and not re.search(r"[\[?]", pattern):
            assert fnmatchcase(pattern.replace("*", "abc"), pattern)

    def test_a_table_may_be_named_by_its_arn(self) -> None:
        """Where the parameter is about tables."""
        assert check_patterns("table_names", [TABLE_ARN], arns=True) == (TABLE_ARN,)
        with pytest.raises(InvalidValueError, match="keep_names must be a list of names"):
            check_patterns("keep_names", [TABLE_ARN])

    def test_a_member_that_is_no_text_is_told_as_such(self) -> None:
        """Native rendering makes a number of a name that is all digits."""
        with pytest.raises(InvalidValueError, match="of type int, not text"):
            check_texts("table_names", ["orders", 20261001], "a list of names")


class TestStructures:
    """Throughputs in AWS's shapes."""

    @pytest.mark.parametrize("value", [None, {"Read": 1, "Write": 2}])
    def test_whole_numbers_pass(self, value: dict[str, int] | None) -> None:
        """Or nothing."""
        assert check_structure("throughput", value, ("Read", "Write")) == value

    @pytest.mark.parametrize(
        "value",
        [
            {},
            {"Read": 1},
            {"Read": 1, "Write": 2, "More": 3},
            {"Read": 0, "Write": 1},
            {"Read": True, "Write": 1},
            [],
            5,
        ],
    )
    def test_other_shapes_are_refused(self, value: object) -> None:
        """An empty one makes AWS answer an error and act all the same."""
        with pytest.raises(InvalidValueError, match="throughput must be a dict with Read and Write, whole numbers"):
            check_structure("throughput", value, ("Read", "Write"))

    def test_a_part_may_be_enough(self) -> None:
        """And -1 mean "no limit", where AWS takes that."""
        check = partial(check_structure, "throughput", keys=("Read", "Write"), all_keys=False)
        assert check(value={"Read": -1}, unlimited=True) == {"Read": -1}
        with pytest.raises(InvalidValueError, match="Read or Write, whole numbers, 1 or more, or None"):
            check(value={"Read": -1})


class TestAws:
    """The settings of connections."""

    @pytest.mark.parametrize(
        "value", [{"proxies": 5}, {"proxies": {"http": 5}}, {"read_timeout": -1}, {"connect_timeout": None}]
    )
    def test_what_botocore_would_find_out_at_a_call_is_refused(self, value: dict[str, object]) -> None:
        """A call would end as if its outcome were ambiguous."""
        with pytest.raises(InvalidValueError, match="botocore_config must be"):
            check_botocore_config(value)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"proxy": PROXY},
            {"proxies": PROXY},
            {"proxies": {"http": 5, "https": PROXY}},
            {"proxies": {"https": PROXY}, "read_timeot": 9},
            {"proxies": {"https": PROXY}, "read_timeout": -1},
            {"s3": {"addressing_style": PROXY}},
            {"retries": {"mode": PROXY}},
            {"retries": PROXY},
            [PROXY],
            f'{{"proxies": {{"https": "{PROXY}"}}}}',
        ],
    )
    def test_a_refusal_shows_no_proxy_s_password(self, wrong: object) -> None:
        """Airflow's import errors are shown to everybody, with their tracebacks."""
        with pytest.raises(InvalidValueError, match="botocore_config must be") as refusal:
            check_botocore_config(wrong)
        assert "hunter2" not in "".join(format_exception(refusal.value))

    def test_a_refusal_shows_the_keys(self) -> None:
        """A typo is seen by them."""
        with pytest.raises(InvalidValueError, match=r"unexpected keyword argument 'proxy'\); got {'proxy': '…'}"):
            check_botocore_config({"proxy": PROXY})

    @pytest.mark.parametrize("value", [None, {}, {"read_timeout": 9}, {"retries": {"mode": "standard"}}])
    def test_arguments_of_a_config_pass(self, value: dict[str, object] | None) -> None:
        """As a dict of plain values."""
        check_botocore_config(value)

    @pytest.mark.parametrize(
        "value", [Config(), 5, "x", {"read_timeot": 9}, {"signature_version": UNSIGNED}, {"retries": 3}]
    )
    def test_other_configs_are_refused(self, value: object) -> None:
        """A deferred task stores them in Airflow's database: refused before anything is made, not after."""
        with pytest.raises(InvalidValueError, match="botocore_config must be a dict of arguments"):
            check_botocore_config(value)


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-28T13:00:00+01:00",
        "2026-11-28T12:00:00Z",
        "2026-11-28 12:00:00+00:00",
        "20261128T120000Z",
        datetime(2026, 11, 28, 13, tzinfo=timezone(timedelta(hours=1))),
        datetime(2026, 11, 28, 13, tzinfo=ZoneInfo("Europe/Berlin")),
    ],
)
def test_a_moment(value: object) -> None:
    """Text or a datetime; it is returned in UTC."""
    moment = check_moment("before", value)
    assert moment == datetime(2026, 11, 28, 12, tzinfo=UTC)
    assert moment.utcoffset() == timedelta(0)


@pytest.mark.parametrize("fold", [0, 1])
def test_both_of_the_hours_that_come_twice(fold: int) -> None:
    """Text has the offset, a datetime the fold."""
    twice = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=fold)
    assert check_moment("before", twice) == check_moment("before", twice.isoformat())
    assert check_moment("before", twice).hour == fold


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "yesterday",
        "2026-11-28",
        "2026-11-28T12:00:00",
        "2026-11-28T12:00:00 Europe/Berlin",
        "2026-11-28T12:00:00+25:00",
        "0001-01-01T00:00:00+01:00",
        "{{ params.before }}",
        datetime(2026, 11, 28, 12),  # noqa: DTZ001  # that is refused
        datetime(2026, 11, 28, 12).date(),  # noqa: DTZ001
        1_795_867_200,
        True,
    ],
)
def test_what_is_no_moment(value: object) -> None:
    """A time without its offset is none: it may be meant in anyone's."""
    with pytest.raises(InvalidValueError, match=r"before must be a moment with its offset from UTC: .*\+00:00'"):
        check_moment("before", value)


def test_a_moment_that_is_rendered_later() -> None:
    """It is checked once it is."""
    assert check_moment("before", LATER) is LATER
