"""What a task has done: collected, pushed, carried over a deferral, and judged once."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, BaseOperator
from hypothesis import given
from hypothesis import strategies as st

from airflow_ddb_backup.exceptions import (
    AccessDeniedError,
    BackupError,
    DeletionsFailedError,
    ErrorContext,
    PermanentError,
    SettingsFailedError,
    SomeFailedError,
    TablesFailedError,
    ThrottledError,
)
from airflow_ddb_backup.limits import NAMED
from airflow_ddb_backup.report import Report, age_of, carried, carry, push, reporting, size_of, total_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from tests.unit.conftest import FakeTaskInstance

CONTEXT = ErrorContext(region="us-east-1")
PASSES = ThrottledError.about(CONTEXT)
FINAL = AccessDeniedError.about(CONTEXT)
KINDS = pytest.mark.parametrize("kind", [DeletionsFailedError, SettingsFailedError, TablesFailedError])
NAMES = st.text("abc", min_size=1, max_size=3)


class TestReport:
    """The results of a task that is about several things."""

    @KINDS
    def test_a_report_without_failures_raises_nothing(self, kind: type[SomeFailedError]) -> None:
        """What was skipped is no failure."""
        Report[str](done={"a": "arn"}, skipped={"b": "gone"}).raise_for_failures(kind, CONTEXT, "1 done")

    @pytest.mark.parametrize("error", [BackupError("No\n\x1b[2J"), RuntimeError("No\n\x1b[2J")], ids=repr)
    def test_its_text_makes_no_lines_of_others(self, error: Exception) -> None:
        """It is sent as it is."""
        told = Report[str](account="1\n2", region="\u202e").told("Done.", error)
        assert str(told["text"]).isprintable()

    @KINDS
    def test_one_failure_that_may_pass_lets_the_task_be_retried(self, kind: type[SomeFailedError]) -> None:
        """Whatever else is final."""
        report = Report[str](failed={"a": FINAL, "b": PASSES, "c": FINAL})
        with pytest.raises(kind) as raised:
            report.raise_for_failures(kind, CONTEXT, "1 done")
        assert type(raised.value) is kind
        assert not isinstance(raised.value, AirflowFailException)

    @KINDS
    def test_final_failures_fail_the_task_at_once(self, kind: type[SomeFailedError]) -> None:
        """If all of them are."""
        report = Report[str](failed={"a": FINAL, "b": FINAL})
        with pytest.raises(kind) as raised:
            report.raise_for_failures(kind, CONTEXT, "1 done", hint="A retry helps.")
        assert type(raised.value) is kind.for_good
        assert isinstance(raised.value, AirflowFailException)
        assert "A retry helps." not in str(raised.value)

    def test_the_message_has_the_count_and_the_first_reasons(self) -> None:
        """A message of thousands of tables is read by nobody."""
        failed: dict[str, BackupError] = {f"table-{number}": PASSES for number in range(NAMED + 2)}
        with pytest.raises(TablesFailedError) as raised:
            Report[str](failed=failed).raise_for_failures(TablesFailedError, CONTEXT, "3 have a backup")
        message = str(raised.value)
        assert message.startswith(
            f"{TablesFailedError.summary}: region 'us-east-1'. {NAMED + 2} failed, 3 have a backup."
        )
        assert message.endswith(TablesFailedError.hint)
        assert [name for name in failed if f"{name}: {PASSES}" in message] == list(failed)[:NAMED]

    def test_a_retry_that_does_something_else_has_its_own_hint(self) -> None:
        """With if_exists='create', say."""
        with pytest.raises(TablesFailedError, match="A retry makes another[.]$"):
            Report[str](failed={"a": PASSES}).raise_for_failures(
                TablesFailedError, CONTEXT, "0 done", hint="A retry makes another."
            )

    @pytest.mark.parametrize(
        ("error", "reason"),
        [(None, None), (FINAL, str(FINAL)), (KeyError("defect"), "KeyError('defect')"), (SystemExit(), "SystemExit()")],
    )
    def test_it_tells_people_the_reason_first_and_the_place(self, error: BaseException | None, reason: str) -> None:
        """Whatever made the task fail."""
        report = Report[str](account="123456789012", region="us-east-1")
        text = f"{reason or '1 done.'} AWS account 123456789012, region us-east-1."
        told = {"account": "123456789012", "region": "us-east-1", "error": reason, "text": text}
        assert report.told("1 done.", error) == told
        assert Report[str]().told("1 done.", None)["text"] == "1 done. AWS account not known, region not known."

    def test_the_messages_of_all_failures_are_sorted_by_name(self) -> None:
        """As the report has them."""
        messages = Report[str](failed={"b": PASSES, "a": FINAL}).messages()
        assert list(messages.items()) == [("a", str(FINAL)), ("b", str(PASSES))]


class TestCarrying:
    """Failures across a deferral."""

    @given(failed=st.dictionaries(NAMES, st.sampled_from([PASSES, FINAL])))
    def test_failures_come_back_with_what_a_retry_can_do(self, failed: dict[str, BackupError]) -> None:
        """Through JSON, as Airflow stores them."""
        returned = carried(json.loads(json.dumps(carry(failed))))
        assert {name: str(error) for name, error in returned.items()} == {n: str(e) for n, e in failed.items()}
        assert {name for name, error in returned.items() if isinstance(error, PermanentError)} == {
            name for name, error in failed.items() if error is FINAL
        }

    @pytest.mark.parametrize("wrong", [None, [], "x", {"a": None}, {"a": "x"}, {"a": {}}, {"a": {"permanent": True}}])
    def test_anything_else_is_an_exception(self, wrong: Any) -> None:
        """Its caller says that the event is none of this package's."""
        if wrong == []:
            wrong = [1]
        with pytest.raises((AttributeError, KeyError, TypeError)):
            carried(wrong)


@pytest.fixture
def make_task() -> Callable[..., BaseOperator]:
    """Return what makes a task."""

    def make(**settings: Any) -> BaseOperator:
        return BaseOperator(task_id="back_up", **settings)

    return make


class TestPush:
    """XComs."""

    def test_a_value_is_pushed(
        self, make_task: Callable[..., BaseOperator], context: Context, ti: FakeTaskInstance
    ) -> None:
        """Under its key."""
        push(make_task(), context, "report", {"a": 1})
        assert ti.xcoms == {"report": {"a": 1}}

    def test_a_task_that_pushes_no_xcoms_pushes_none(
        self, make_task: Callable[..., BaseOperator], context: Context, ti: FakeTaskInstance
    ) -> None:
        """``do_xcom_push=False`` is Airflow's switch for it."""
        push(make_task(do_xcom_push=False), context, "report", {"a": 1})
        assert ti.xcoms == {}


class TestReporting:
    """The report of a task that fails."""

    @pytest.mark.parametrize("failure", [PASSES, FINAL, KeyError("defect"), KeyboardInterrupt(), SystemExit(1)])
    def test_it_is_pushed_whatever_makes_the_task_fail(
        self,
        make_task: Callable[..., BaseOperator],
        context: Context,
        ti: FakeTaskInstance,
        failure: BaseException,
    ) -> None:
        """A task that is killed included; and the failure is raised as it is."""
        done: list[str] = []

        def work() -> None:
            with reporting(make_task(), context, "report", lambda _: list(done)):
                done.append("orders")
                raise failure

        with pytest.raises(type(failure)) as raised:
            work()
        assert raised.value is failure
        assert ti.xcoms == {"report": ["orders"]}

    def test_a_task_that_succeeds_pushes_none(
        self, make_task: Callable[..., BaseOperator], context: Context, ti: FakeTaskInstance
    ) -> None:
        """It returns its report."""
        with reporting(make_task(), context, "report", lambda _: 1):
            pass
        assert ti.xcoms == {}

    def test_a_skipped_task_pushes_none(
        self, make_task: Callable[..., BaseOperator], context: Context, ti: FakeTaskInstance
    ) -> None:
        """Nothing has failed."""
        with pytest.raises(AirflowSkipException), reporting(make_task(), context, "report", lambda _: 1):
            raise AirflowSkipException
        assert ti.xcoms == {}

    def test_a_report_that_can_t_be_pushed_is_logged(
        self, make_task: Callable[..., BaseOperator], ti: FakeTaskInstance, log: Callable[[], str]
    ) -> None:
        """The task's own failure says more, and whether to retry."""

        class Broken:
            def xcom_push(self, **_: object) -> None:
                message = "Airflow's API is down"
                raise OSError(message)

        broken = cast("Context", {"ti": Broken()})
        task = make_task()
        with pytest.raises(ThrottledError), reporting(task, broken, "report", lambda _: {"orders": "arn"}):
            raise PASSES
        assert "The report could not be pushed: {'orders': 'arn'}" in log()
        assert ti.xcoms == {}


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(seconds=59), "0 min"),
        (timedelta(seconds=-5), "0 min"),
        (timedelta(minutes=61), "1 h 1 min"),
        (timedelta(days=2, hours=3, minutes=4), "2 d 3 h"),
    ],
)
def test_an_age_has_its_two_largest_units(age: timedelta, text: str) -> None:
    """As people say it."""
    assert age_of(age) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "size not known yet"),
        (1023, "1,023 bytes"),
        (1024, "1.0 KB"),
        (1024**2 - 1, "1.0 MB"),
        (1536 * 1024**2, "1.5 GB"),
        (2**61, "2,048.0 PB"),
    ],
)
def test_a_size_has_its_largest_unit(size: int, text: str) -> None:
    """As AWS's console shows it; AWS tells 0 until it has filled it in."""
    assert size_of(size) == text


@pytest.mark.parametrize(
    ("sizes", "text"),
    [([], "0 bytes"), ([0, 0], "size not known yet"), ([1024, 1024], "2.0 KB"), ([1024, 0], "at least 1.0 KB")],
)
def test_a_sum_says_whether_all_of_it_is_known(sizes: list[int], text: str) -> None:
    """Nothing that AWS has not told yet passes for nothing."""
    assert total_of(sizes) == text
