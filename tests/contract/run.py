"""A run: says what it will do, asks, checks every rule, deletes what it made, and writes the result."""

from __future__ import annotations

import json
import platform
import re
import signal
from collections import Counter
from dataclasses import asdict, dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Self

import botocore

from airflow_ddb_backup import __version__
from airflow_ddb_backup.clock import Deadline
from tests.contract.account import PREFIX, ROLES, Account, Cleaning, ForeignTablesError
from tests.contract.rule import CONFIRMED, NOT_SEEN, WRONG, NotSeenError, WrongError
from tests.contract.rules import ALSO, RULES
from tests.contract.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from pathlib import Path
    from types import FrameType

    from tests.contract.account import Left
    from tests.contract.rule import Rule

#: exit codes: every rule confirmed or not seen and nothing left; a rule wrong, or something left; nothing done
DONE, FAILED, REFUSED = 0, 1, 2
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# No rule is begun after so many seconds (chosen).
_LONGEST = 3600.0
# What must not be in a result: ARNs, account IDs, access keys. A run's own names may.
_SECRETS = ((re.compile(r"arn:[\w-]+:[\w:/*.@+=,-]+"), "ARN"), (re.compile(r"\b\d{12}\b"), "ACCOUNT"))
_KEYS = re.compile(r"\bA[A-Z]{3}[A-Z0-9]{12,}\b")


class Interrupted(BaseException):
    """A signal has come."""


class Signals:
    """Raises :class:`Interrupted` where work may be ended: rules by the first signal, cleaning by the second."""

    def __init__(self) -> None:
        self._before: list[Any] = []
        self._count = 0
        # The signal that ends the work; none does between two kinds of work.
        self._ends_at: float = inf
        #: the last signal that came
        self.seen = ""

    def __enter__(self) -> Self:
        """Take the signals."""
        self._before = [signal.signal(each, self._take) for each in _SIGNALS]
        return self

    def __exit__(self, *_: object) -> None:
        """Give them back."""
        for each, handler in zip(_SIGNALS, self._before, strict=True):
            signal.signal(each, handler)

    def _take(self, number: int, _: FrameType | None) -> None:
        self.seen = signal.Signals(number).name
        self._count += 1
        if self._count >= self._ends_at:
            self._ends_at = inf
            raise Interrupted(self.seen)

    def until(self, ends_at: int, work: Callable[[], None]) -> None:
        """Do some work, which a signal may end.

        :param ends_at: the signal that does, 1 for the first
        """
        try:
            self._ends_at = ends_at
            try:
                work()
            finally:
                self._ends_at = inf
        except Interrupted:
            return


@dataclass
class Verdict:
    """How a rule ended.

    :param rule: its name
    :param section: the section of AWS.md
    :param fact: the rule in a sentence
    :param verdict: confirmed, wrong or not seen
    :param told: what was seen, or why nothing was
    """

    rule: str
    section: str
    fact: str
    verdict: str = NOT_SEEN
    told: str = "the run did not come so far"


@dataclass
class Run:
    """A run.

    :param account: where
    :param path: the file for the result
    :param say: takes a line for the terminal
    :param ask: returns what is typed
    :param also: words of :data:`~tests.contract.rules.ALSO`
    :param rules: the rules; none: only what earlier runs have left is deleted
    """

    account: Account
    path: Path
    say: Callable[[str], object]
    ask: Callable[[str], str]
    also: Collection[str] = ()
    rules: Iterable[Rule] = RULES
    verdicts: list[Verdict] = field(init=False)
    left: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with nothing seen."""
        self.verdicts = [Verdict(rule.name, rule.section, rule.fact) for rule in self.rules]

    def run(self) -> int:
        """Do all of it, and return the exit code."""
        try:
            before = self.account.left()
        except ForeignTablesError as error:
            self.say(f"Nothing was done. No run is known to have made these tables of the prefix {PREFIX}: {error}.")
            self.say("Delete them, or take another account or region.")
            return REFUSED
        expected = self._announce(before)
        if self.ask(f"To continue, type {expected}: ").split() != expected.split():
            self.say("Nothing was done.")
            return REFUSED
        with Signals() as signals:
            self._clean_and_check(signals, before)
        return self._finish(signals.seen)

    def _clean_and_check(self, signals: Signals, before: list[Left]) -> None:
        signals.until(2, lambda: self._clean([left.run for left in before]))
        if signals.seen or not self.verdicts:
            return
        signals.until(1, lambda: self._check(signals))
        if signals.seen:
            self.say(f"{signals.seen}: no more rules are checked")
        signals.until(2, lambda: self._clean([self.account.run]))

    def _clean(self, runs: list[str]) -> None:
        """Delete what some runs have made."""
        for run in runs:
            self.left[f"{PREFIX}{run}-…"] = "its cleaning was ended by a signal"
        for run in runs:
            self.say(f"deleting what run {run} has made; a second signal ends that, and leaves it to the next run")
            left = Cleaning(self.account, run, self.say).clean()
            del self.left[f"{PREFIX}{run}-…"]
            self.left |= left

    def _announce(self, before: list[Left]) -> str:
        """Say what will be done, and return what must be typed."""
        account = self.account
        self.say(f"Account {account.id}, region {account.region}.")
        if self.verdicts:
            for line in _PLAN:
                self.say(line.format(prefix=f"{PREFIX}{account.run}-", tables=len(ROLES), path=self.path))
            for word, what in ALSO.items():
                self.say(f"  {'And' if word in self.also else 'Not'} {word}: {what}.")
        going_on = []
        for left in before:
            self.say(f"Run {left.run} has left {', '.join(left.tables)}: that is deleted first.")
            if left.may_go_on(account.now()):
                self.say("  It is so young that it may still be going on. If it is, stop here.")
                going_on.append(left.run)
        return " ".join([account.id, *going_on])

    def _check(self, signals: Signals) -> None:
        world, deadline = World(self.account), Deadline.after(_LONGEST, self.account.clock)
        for number, (rule, verdict) in enumerate(zip(self.rules, self.verdicts, strict=True), start=1):
            if rule.also and rule.also not in self.also:
                verdict.told = f"it {ALSO[rule.also].partition(':')[0]}: only with ALSO={rule.also}"
                continue
            # What is raised where Python ignores exceptions, as in __del__, ends nothing.
            if deadline.passed or signals.seen:
                return
            verdict.verdict, verdict.told = judge(rule, world)
            told = f": {verdict.told}" if verdict.told else ""
            self.say(f"[{number}/{len(self.verdicts)}] {verdict.verdict}: {rule.name}{told}")

    def _finish(self, stopped_by: str) -> int:
        """Write the result, say how it ended, and return the exit code."""
        if self.verdicts:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(
                json.dumps(self.result(stopped_by), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
            )
            counts = Counter(dict.fromkeys((CONFIRMED, WRONG, NOT_SEEN), 0))
            counts.update(one.verdict for one in self.verdicts)
            self.say(", ".join(f"{count} {word}" for word, count in counts.items()) + f": {self.path}")
        if "system-backup" in self.also and self.verdicts:
            self.say("It may leave a system backup: free, gone after 35 days.")
        for name, why in self.left.items():
            self.say(f"Left behind: {name}: {why}.")
        self.say("What is left, the next run deletes." if self.left else "Nothing else is left behind.")
        is_wrong = any(one.verdict == WRONG for one in self.verdicts)
        return FAILED if is_wrong or self.left or stopped_by else DONE

    def result(self, stopped_by: str) -> dict[str, Any]:
        """Return what the file says: no account ID, no ARN and no credentials are in it."""
        versions = {
            "airflow-ddb-backup": __version__,
            "botocore": botocore.__version__,
            "python": platform.python_version(),
        }
        return {
            "region": self.account.region,
            "run": self.account.run,
            "ended": self.account.now().isoformat(timespec="seconds"),
            "stopped_by": stopped_by or None,
            "also": sorted(self.also),
            "versions": versions,
            "left_behind": {redacted(name): redacted(why) for name, why in self.left.items()},
            "rules": [asdict(one) | {"told": redacted(one.told)} for one in self.verdicts],
        }


_PLAN = (
    "This checks the rules of tests/simulator/AWS.md. It makes, and deletes at its end:",
    "  up to {tables} tables, named {prefix}…, on demand; one with some items, a stream, TTL, point-in-time recovery,",
    "    deletion protection, a resource policy and the class STANDARD_INFREQUENT_ACCESS;",
    "  about 140 backups of them, of some kilobytes at most;",
    "  up to 4 tables restored from them, one with 1 read and 2 write units.",
    "It lists the tables, their tags and the backups of the account, and changes nothing but its own.",
    "It calls at half of AWS's documented rates, and costs a few cents at most, at AWS's list prices.",
    "It takes 15 to 40 minutes, mostly for the restores; after an hour it begins no other rule.",
    "A signal (Ctrl-C) ends the rules; what was made is deleted all the same. After a SIGKILL, the next run does that.",
    "The result, without account ID, ARNs and credentials: {path}",
)


def judge(rule: Rule, world: World) -> tuple[str, str]:
    """Return a rule's verdict, and what was seen or why nothing was."""
    try:
        return CONFIRMED, rule.check(world) or ""
    except WrongError as error:
        return WRONG, str(error)
    except NotSeenError as error:
        return NOT_SEEN, str(error)
    except KeyError as error:
        return WRONG, f"a response has no {error}"
    except Exception as error:  # noqa: BLE001  # the other rules are checked all the same
        return NOT_SEEN, f"its check has failed: {type(error).__name__}: {error}"


def redacted(text: str) -> str:
    """Return a text without ARNs, account IDs and access keys."""
    for secret, word in _SECRETS:
        text = secret.sub(word, text)
    return _KEYS.sub("KEY", text)
