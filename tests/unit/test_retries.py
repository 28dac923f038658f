"""The four loops, on simulated time."""

from __future__ import annotations

import itertools
import logging
import threading
from collections import Counter
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_ddb_backup.clock import Deadline
from airflow_ddb_backup.exceptions import (
    AccessDeniedError,
    AmbiguousOutcomeError,
    BackupError,
    CreationTimeoutError,
    ErrorContext,
    InvalidRequestError,
    OtherAccountError,
    ThrottledError,
)
from airflow_ddb_backup.limits import BACKOFF_JITTER, LONGEST_BACKOFF, MOST_LISTINGS
from airflow_ddb_backup.models import Page
from airflow_ddb_backup.retries import backoff, poll_until, read_pages, retrying, rounds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.simulator.clock import Clock

LOG = logging.getLogger(__name__)
CONTEXT = ErrorContext("orders", region="us-east-1")
TASK: ContextVar[str] = ContextVar("task", default="another")


class Calls:
    """A call whose results are known before: exceptions are raised, all else is returned.

    :param results: in this order; the last one again and again
    """

    def __init__(self, *results: object) -> None:
        self._results = list(results)
        self.count = 0

    def __call__(self, *_: object, **__: object) -> object:
        """Return or raise the next result."""
        result = self._results[min(self.count, len(self._results) - 1)]
        self.count += 1
        if isinstance(result, BaseException):
            raise result
        return result


def throttled(detail: str = "") -> ThrottledError:
    """Return a failure that may pass."""
    return ThrottledError.about(CONTEXT, detail)


class TestBackoff:
    """The one rule of how long to wait."""

    @given(failures=st.integers(1, 10**9))
    def test_it_doubles_up_to_its_limit(self, failures: int) -> None:
        """With some jitter, for however many failures."""
        least = min(2.0 ** min(failures - 1, 10), LONGEST_BACKOFF)
        assert least <= backoff(failures) <= least + BACKOFF_JITTER

    def test_tasks_that_failed_together_do_not_come_back_together(self) -> None:
        """That is what the jitter is for."""
        assert len({backoff(1) for _ in range(20)}) > 1


class TestRetrying:
    """A call, again while it may yet succeed."""

    @pytest.mark.parametrize("failure", [throttled(), AmbiguousOutcomeError.about(CONTEXT)])
    def test_a_call_that_may_yet_succeed_is_made_again(self, clock: Clock, failure: BackupError) -> None:
        """What it returns at last is returned."""
        call = Calls(failure, failure, "done")
        begun = clock.monotonic()
        assert retrying(Deadline.after(60), LOG)(call) == "done"
        assert 3 <= clock.monotonic() - begun <= 3 + 2 * BACKOFF_JITTER

    @pytest.mark.parametrize(
        "failure", [AccessDeniedError.about(CONTEXT), CreationTimeoutError.about(CONTEXT), KeyError()]
    )
    def test_any_other_exception_is_raised_at_once(self, clock: Clock, failure: Exception) -> None:
        """A call that is refused is not made again."""
        call, begun = Calls(failure), clock.monotonic()
        with pytest.raises(type(failure)):
            retrying(Deadline.after(60), LOG)(call)
        assert (call.count, clock.monotonic()) == (1, begun)

    def test_the_last_call_is_made_at_the_deadline(self, clock: Clock) -> None:
        """And its failure is raised as it is."""
        call, begun, last = Calls(throttled()), clock.monotonic(), []

        def note() -> object:
            last.append(clock.monotonic() - begun)
            return call()

        with pytest.raises(ThrottledError):
            retrying(Deadline.after(100), LOG)(note)
        assert last[-1] == pytest.approx(100)
        assert call.count >= 5

    def test_a_call_after_the_deadline_is_made_once(self, clock: Clock) -> None:
        """A task that was deferred for long still asks."""
        call = Calls(throttled())
        with pytest.raises(ThrottledError):
            retrying(Deadline.after(0), LOG)(call)
        assert call.count == 1

    def test_the_caller_may_have_none_begin_after_the_deadline(self, clock: Clock) -> None:
        """It says what is raised instead."""
        call, too_late = Calls("done"), CreationTimeoutError.about(CONTEXT)
        retry = retrying(Deadline.after(60), LOG, too_late=too_late)
        assert retry(call) == "done"
        clock.sleep(60)
        with pytest.raises(CreationTimeoutError):
            retry(call)
        assert call.count == 1

    def test_an_ambiguous_failure_may_forbid_another_call(self, clock: Clock) -> None:
        """CreateBackup is not made again for ever."""
        failure = AmbiguousOutcomeError.about(CONTEXT)
        failure.may_call_again = False
        call = Calls(failure)
        with pytest.raises(AmbiguousOutcomeError):
            retrying(Deadline.after(1000), LOG)(call)
        assert call.count == 1

    def test_each_failure_is_logged(self, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
        """With the seconds until the next call."""
        caplog.set_level(logging.WARNING)
        retrying(Deadline.after(60), LOG)(Calls(throttled("First."), throttled("Second."), None))
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) == 2
        assert all("Retrying in " in line for line in lines)
        assert "First." in lines[0]
        assert "Second." in lines[1]

    def test_arguments_are_handed_on(self, clock: Clock) -> None:
        """By position and by name."""

        def difference(one: int, *, two: int) -> int:
            return one - two

        assert retrying(Deadline.after(60), LOG)(difference, 3, two=1) == 2


class TestPollUntil:
    """Look until something shows."""

    def test_what_shows_is_returned_at_once(self, clock: Clock) -> None:
        """No time is lost."""
        begun = clock.monotonic()
        assert poll_until(Calls("there"), Deadline.after(10), 2.5) == "there"
        assert clock.monotonic() == begun

    def test_it_looks_at_its_interval(self, clock: Clock) -> None:
        """Until something shows."""
        begun = clock.monotonic()
        assert poll_until(Calls(None, None, "there"), Deadline.after(10), 2.5) == "there"
        assert clock.monotonic() - begun == pytest.approx(5)

    @pytest.mark.parametrize("interval", [2.5, 4.0, 100.0])
    def test_the_last_look_comes_when_time_is_up(self, clock: Clock, interval: float) -> None:
        """What shows just then is not missed."""
        begun = clock.monotonic()
        assert poll_until(lambda: clock.monotonic() >= begun + 10 or None, Deadline.after(10), interval) is True
        assert clock.monotonic() - begun == pytest.approx(10)

    def test_nothing_is_returned_if_nothing_shows(self, clock: Clock) -> None:
        """After the whole time."""
        look = Calls(None)
        assert poll_until(look, Deadline.after(10), 2.5) is None
        assert look.count == 5

    @pytest.mark.parametrize("seen", [False, 0, "", ()])
    def test_anything_but_none_is_something(self, clock: Clock, seen: object) -> None:
        """An empty answer is an answer."""
        assert poll_until(Calls(seen), Deadline.after(10), 2.5) == seen

    def test_an_exception_of_a_look_is_raised(self, clock: Clock) -> None:
        """Whoever looks says which of them may pass."""
        with pytest.raises(ThrottledError):
            poll_until(Calls(throttled()), Deadline.after(10), 2.5)


def listing(items: Sequence[int], size: int) -> Callable[[str | None], Page[int]]:
    """Return what reads pages of a listing; the cursor is the place of the next item."""

    def page_at(cursor: str | None) -> Page[int]:
        start = int(cursor or 0)
        end = start + size
        return Page(tuple(items[start:end]), str(end) if end < len(items) else None)

    return page_at


class TestReadPages:
    """All pages of a listing."""

    @given(items=st.lists(st.integers()), size=st.integers(1, 7))
    def test_the_items_of_all_pages_are_returned_in_order(self, items: list[int], size: int) -> None:
        """However many there are."""
        assert read_pages(listing(items, size), CONTEXT) == items

    def test_an_empty_page_is_not_the_last(self) -> None:
        """Only the cursor says so."""
        pages = {None: Page((), "a"), "a": Page((), "b"), "b": Page((1,), None)}
        assert read_pages(pages.__getitem__, CONTEXT) == [1]

    @given(items=st.lists(st.integers(), min_size=2), size=st.integers(1, 7), lost=st.integers(1, MOST_LISTINGS - 1))
    def test_a_listing_begins_again_if_a_cursor_is_refused(self, items: list[int], size: int, lost: int) -> None:
        """No item of the listing that was broken off is returned twice."""
        page_at, refusals = listing(items, size), itertools.repeat(InvalidRequestError.about(CONTEXT), lost)

        def losing(cursor: str | None) -> Page[int]:
            if cursor is not None and (refusal := next(refusals, None)):
                raise refusal
            return page_at(cursor)

        assert read_pages(losing, CONTEXT) == items

    def test_a_cursor_that_is_refused_again_and_again_ends_it(self) -> None:
        """The refusal stays the cause, and the message names the table."""
        calls: Counter[str | None] = Counter()

        def refusing(cursor: str | None) -> Page[int]:
            calls[cursor] += 1
            if cursor is not None:
                raise InvalidRequestError.about(CONTEXT)
            return Page((1,), "a")

        with pytest.raises(
            AmbiguousOutcomeError, match=f"'orders'.* refused a cursor .* {MOST_LISTINGS} times"
        ) as raised:
            read_pages(refusing, CONTEXT)
        assert isinstance(raised.value.__cause__, InvalidRequestError)
        assert calls == {None: MOST_LISTINGS, "a": MOST_LISTINGS}

    def test_a_first_page_that_is_refused_is_not_asked_for_again(self) -> None:
        """That is no cursor's fault."""
        call = Calls(InvalidRequestError.about(CONTEXT))
        with pytest.raises(InvalidRequestError):
            read_pages(call, CONTEXT)  # type: ignore[arg-type]  # it only raises
        assert call.count == 1

    def test_a_cursor_that_comes_back_ends_it(self) -> None:
        """Otherwise the listing would never end."""
        pages = {None: Page((1,), "a"), "a": Page((2,), "b"), "b": Page((3,), "a")}
        with pytest.raises(AmbiguousOutcomeError, match="returned the cursor 'a' twice"):
            read_pages(pages.__getitem__, CONTEXT)

    @pytest.mark.parametrize(
        ("most", "found"), [(1, None), (2, None), (3, [1, 2, 3]), (4, [1, 2, 3]), (None, [1, 2, 3])]
    )
    def test_a_listing_of_more_pages_than_asked_for_is_none(self, most: int | None, found: list[int] | None) -> None:
        """Nobody reads a whole account for one table; no page beyond the limit is asked for."""
        asked: list[str | None] = []

        def page_at(cursor: str | None) -> Page[int]:
            asked.append(cursor)
            return listing([1, 2, 3], 1)(cursor)

        assert read_pages(page_at, CONTEXT, most) == found
        assert len(asked) == min(most or 3, 3)


class Recorder:
    """Work whose steps have results that are known before.

    :param results: the exceptions of an item's steps in turn; ``None``: the step succeeds
    """

    def __init__(self, results: dict[str, list[BaseException | None]]) -> None:
        self._results = {item: list(found) for item, found in results.items()}
        self.steps: list[str] = []
        self.failures: dict[str, BackupError] = {}
        self.dropped: set[str] = set()
        self.confirmed: list[list[str]] = []
        self.contexts: set[str] = set()
        self.threads: set[str] = set()

    def step(self, item: str) -> None:
        """Raise the item's next exception, if there is one."""
        self.steps.append(item)
        self.contexts.add(TASK.get())
        self.threads.add(threading.current_thread().name)
        found = self._results[item]
        failure = found.pop(0) if len(found) > 1 else found[0]
        if failure is not None:
            raise failure

    def failed(self, item: str, error: BackupError) -> None:
        """Note it; each item fails once."""
        assert item not in self.failures
        self.failures[item] = error

    def untried(self, item: str) -> BackupError:
        """Return a failure that is known."""
        return CreationTimeoutError.about(ErrorContext(item))

    def confirm(self, items: list[str]) -> list[str]:
        """Drop what the test says."""
        self.confirmed.append(sorted(items))
        return [item for item in items if item not in self.dropped]

    def progress(self, open_items: int) -> str:
        """Say how many there are."""
        return f"{open_items} open"


THREADS = pytest.mark.parametrize("threads", [1, 3])
RESULTS = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=2),
    st.lists(st.sampled_from(["passes", "later", "denied"]), min_size=1, max_size=4),
    max_size=6,
)


class TestRounds:
    """Many items, round by round."""

    @THREADS
    def test_what_may_yet_succeed_gets_another_round(self, clock: Clock, threads: int) -> None:
        """After the whole round: no item holds up another."""
        work = Recorder({"a": [throttled(), throttled(), None], "b": [None], "c": [throttled(), None]})
        rounds("abc", work, Deadline.after(600), LOG, threads=threads)
        assert Counter(work.steps) == {"a": 3, "b": 1, "c": 2}
        assert sorted(work.steps[:3]) == ["a", "b", "c"]
        assert work.failures == {}
        assert work.confirmed == [["a", "c"], ["a"]]

    @THREADS
    def test_a_refused_item_fails_and_the_others_go_on(self, clock: Clock, threads: int) -> None:
        """It has no second step."""
        refusal = AccessDeniedError.about(CONTEXT)
        work = Recorder({"a": [refusal], "b": [throttled(), None]})
        rounds("ab", work, Deadline.after(600), LOG, threads=threads)
        assert work.failures == {"a": refusal}
        assert Counter(work.steps) == {"a": 1, "b": 2}

    @THREADS
    def test_time_that_is_up_fails_each_with_its_own_failure(self, clock: Clock, threads: int) -> None:
        """The last one; and none for longer than the deadline."""
        begun = clock.monotonic()
        work = Recorder({"a": [throttled("Early."), throttled("Late.")], "b": [None]})
        rounds("ab", work, Deadline.after(100), LOG, threads=threads)
        assert str(work.failures["a"]).count("Late.") == 1
        assert clock.monotonic() - begun == pytest.approx(100)

    def test_what_was_not_tried_in_time_has_its_own_failure(self, clock: Clock) -> None:
        """No step begins after the deadline."""

        class Slow(Recorder):
            def step(self, item: str) -> None:
                clock.sleep(40)
                super().step(item)

        work = Slow({item: [None] for item in "abcd"})
        rounds("abcd", work, Deadline.after(60), LOG)
        assert work.steps == ["a", "b"]
        assert sorted(work.failures) == ["c", "d"]
        assert {type(error) for error in work.failures.values()} == {CreationTimeoutError}

    def test_an_item_may_be_withdrawn_between_rounds(self, clock: Clock) -> None:
        """It has neither failed nor another step."""
        work = Recorder({"a": [throttled(), None], "b": [throttled(), None]})
        work.dropped = {"a"}
        rounds("ab", work, Deadline.after(600), LOG)
        assert Counter(work.steps) == {"a": 1, "b": 2}
        assert work.failures == {}

    @THREADS
    @pytest.mark.parametrize(
        "exception", [OtherAccountError.about(CONTEXT), KeyError("defect"), KeyboardInterrupt(), SystemExit(1)]
    )
    def test_an_exception_that_is_about_no_item_ends_the_rounds(
        self, clock: Clock, threads: int, exception: BaseException
    ) -> None:
        """It is raised as it is, and no further round begins."""
        work = Recorder({"a": [exception], "b": [throttled()]})
        with pytest.raises(type(exception)):
            rounds("ab", work, Deadline.after(600), LOG, threads=threads)
        assert Counter(work.steps)["b"] <= 1
        assert work.confirmed == []

    def test_after_an_exception_in_the_main_thread_no_step_begins(self, clock: Clock) -> None:
        """Airflow raises a task's execution_timeout there, while other threads are at work."""
        third, going = threading.Event(), threading.Event()

        class Busy(Recorder):
            def step(self, item: str) -> None:
                self.steps.append(item)
                if item == "a":
                    # The main thread logs the progress.
                    clock.sleep(31)
                    return
                if len(self.steps) == 3:
                    third.set()
                going.wait(10)

            def progress(self, open_items: int) -> str:
                third.wait(10)
                raise TimeoutError

        work = Busy({item: [None] for item in "abcdefgh"})
        try:
            with pytest.raises(TimeoutError):
                rounds("abcdefgh", work, Deadline.after(600), LOG, threads=2)
        finally:
            going.set()
        for thread in threading.enumerate():
            if thread.name.startswith("dynamodb"):
                thread.join()
        assert sorted(work.steps) == ["a", "b", "c"]

    @THREADS
    def test_steps_run_in_the_task_s_context(self, clock: Clock, threads: int) -> None:
        """Airflow's log goes by it."""
        token = TASK.set("back_up")
        try:
            work = Recorder({item: [None] for item in "abcde"})
            rounds("abcde", work, Deadline.after(600), LOG, threads=threads)
        finally:
            TASK.reset(token)
        assert work.contexts == {"back_up"}
        assert all(name.startswith("dynamodb") for name in work.threads) == (threads > 1)

    def test_a_failure_is_logged_once_while_it_is_the_same(
        self, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """And again when another one takes its place."""
        caplog.set_level(logging.WARNING)
        work = Recorder({"a": [throttled("One."), throttled("One."), throttled("Two."), None]})
        rounds("a", work, Deadline.after(600), LOG)
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) == 2
        assert "One." in lines[0]
        assert "Two." in lines[1]

    def test_progress_is_logged_every_30_seconds(self, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
        """Not for each item."""
        caplog.set_level(logging.INFO)

        class Slow(Recorder):
            def step(self, item: str) -> None:
                clock.sleep(10)
                super().step(item)

        work = Slow({item: [None] for item in "abcdef"})
        rounds("abcdef", work, Deadline.after(600), LOG)
        assert [record.getMessage() for record in caplog.records] == ["3 open", "0 open"]

    @THREADS
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(results=RESULTS)
    def test_each_item_ends_exactly_once(self, clock: Clock, threads: int, results: dict[str, list[str]]) -> None:
        """As its last step did; if that may yet succeed, the deadline has failed it."""
        ends: dict[str, Any] = {"passes": None, "later": throttled(), "denied": AccessDeniedError.about(CONTEXT)}
        work = Recorder({item: [ends[one] for one in found] for item, found in results.items()})
        rounds(results, work, Deadline.after(600), LOG, threads=threads)
        expected = {}
        for item, found in results.items():
            last = next((one for one in found if one != "later"), "later")
            if last != "passes":
                expected[item] = ends[last]
        assert work.failures == expected
