"""What the machines share: the search, its effort and its seeds; and the wire, on which tries are killed.

Nothing in a history depends on the machine that it runs on, so that hypothesis can shrink it and a seed brings it back.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from random import SystemRandom
from typing import TYPE_CHECKING, Any, ClassVar

from botocore.httpsession import URLLib3Session
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.sampling import EXAMPLES
from tests.simulator import faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pytest

    from tests.simulator.clock import StillClock
    from tests.simulator.control_plane import ControlPlane

#: minutes that each machine runs, and shrinks what it finds; 0: one batch, of seconds
MINUTES = float(os.environ.get("MINUTES", "0"))
#: the seed of the first batch; others follow it
SEED = int(os.environ.get("SEED", "0")) or SystemRandom().randrange(1, 10**9)
#: real seconds that a machine may take, with the shrinking of what it finds
TIMEOUT = 900 + 90 * MINUTES
#: what may happen to a call that changes something
LOST = (
    faults.INTERNAL_ERROR,
    faults.INTERNAL_ERROR_AFTER_COMMIT,
    faults.DROPPED_BEFORE_COMMIT,
    faults.DROPPED_AFTER_COMMIT,
    faults.HANGING_AFTER_COMMIT,
    faults.EMPTY_RESPONSE_AFTER_COMMIT,
    faults.THROTTLED,
)
# When each history begins.
_START = 1_795_000_000.0


class KilledError(BaseException):
    """The worker is killed: nothing of the task runs any more."""


@dataclass(eq=False)
class Script:
    """What happens to one try between its calls.

    :param killed_at: the number of the call at which the worker is killed; 0: at none
    :param after: it is killed once that call has taken effect, and before it is sent otherwise
    :param between: what others do just before calls, by the number of the call
    :param sees: called with each call before it is sent: its operation, and its body
    :param ended: called once a call has ended, by a response or none
    """

    killed_at: int = 0
    after: bool = False
    between: Mapping[int, Callable[[], object]] = field(default_factory=dict)
    sees: Callable[[str, bytes], object] = lambda *_: None
    ended: Callable[[], object] = lambda: None
    calls: int = 0
    is_dead: bool = False
    #: what was found between its calls: the package would take an exception there for the call's
    found: BaseException | None = None


class Wire:
    """All calls of boto3's clients: the tries that are on their way, and what happens between their calls."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._scripts: list[Script | None] = []
        self._thread = threading.get_ident()
        send = URLLib3Session.send

        def scripted(session: Any, request: Any) -> Any:
            script = self._scripts[-1] if self._scripts and threading.get_ident() == self._thread else None
            if script is None:
                return send(session, request)
            self._begin(script, request)
            try:
                response = send(session, request)
            finally:
                script.ended()
            if script.calls == script.killed_at:
                script.is_dead = True
                raise KilledError
            return response

        patch.setattr(URLLib3Session, "send", scripted)

    def _begin(self, script: Script, request: Any) -> None:
        script.calls += 1
        if script.is_dead or (script.calls == script.killed_at and not script.after):
            script.is_dead = True
            raise KilledError
        operation = request.headers.get("X-Amz-Target", b"")
        name = operation.decode() if isinstance(operation, bytes) else str(operation)
        try:
            if interfere := script.between.get(script.calls):
                with self.play(None):
                    interfere()
            script.sees(name.rpartition(".")[2], request.body or b"")
        except BaseException as error:
            script.found, script.is_dead = error, True
            raise KilledError from error

    @contextmanager
    def play(self, script: Script | None) -> Iterator[None]:
        """Let a script go by the calls of this thread until the block ends; ``None``: nothing happens to them."""
        self._scripts.append(script)
        try:
            yield
        finally:
            self._scripts.pop()
            if script and script.found:
                raise script.found


@dataclass
class Counts:
    """How far a search has come.

    :param histories: those that have begun
    :param steps: those that were run, of all histories
    """

    histories: int = 0
    steps: int = 0


class Machine(RuleBasedStateMachine):
    """A history on a simulated account of its own."""

    plane: ClassVar[ControlPlane]
    clock: ClassVar[StillClock]
    wire: ClassVar[Wire]
    counts: ClassVar[Counts]

    def __init__(self) -> None:
        super().__init__()
        self.counts.histories += 1
        self.clock.reset(_START)
        self.plane.reset()
        ids = count(1)
        self.plane.make_backup_id = lambda: f"{int(self.plane.now() * 1000):014}-{next(ids):08x}"

    def check_invariants(self, *args: Any, **kwargs: Any) -> None:
        """Count a step."""
        self.counts.steps += 1
        super().check_invariants(*args, **kwargs)

    def teardown(self) -> None:
        """Close what the history's clients have left open."""
        for session in self.plane.sessions:
            session.close()
        self.plane.sessions.clear()


@dataclass
class Search:
    """Searches for a history that breaks a promise, and says how far it has come.

    :param bases: what a machine needs: the control plane, the clock, and the wire
    :param say: prints a line, whatever pytest captures
    """

    bases: dict[str, Any]
    say: Callable[[str], None]

    def run(self, kind: type[Machine], *, histories: int, steps: int) -> None:
        """Run batches of histories, each with a seed of its own, for as long as asked, and one at least.

        :param kind: the machine
        :param histories: of each batch, of as many examples as there are by default
        :param steps: of each history
        """
        began, counts = time.monotonic(), Counts()
        number = max(1, histories * EXAMPLES // 25)
        for this in count(SEED):
            before = counts.histories
            machine = type(kind.__name__, (kind,), {**self.bases, "counts": counts})
            try:
                run_state_machine_as_test(seed(this)(machine), settings=_settings(number, steps))
            except BaseException as error:
                found = f"{kind.__name__} has failed with seed {this}, after {counts.histories - before} histories. "
                test = os.environ["PYTEST_CURRENT_TEST"].split()[0]
                again = f"Again: SEED={this} EXAMPLES={EXAMPLES} make test ARGS='{test}'"
                error.add_note(found + again)
                raise
            seconds = time.monotonic() - began
            told = f"{counts.histories} histories, {counts.steps} steps in {seconds:.0f} s"
            self.say(f"{kind.__name__}: seed {this}, no finding; so far {told}")
            if seconds >= MINUTES * 60:
                return


def _settings(histories: int, steps: int) -> settings:
    return settings(
        max_examples=histories,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        # Shrinking takes minutes.
        phases=[Phase.generate, Phase.shrink] if MINUTES else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def say(capture: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Return what prints a line, whatever pytest captures."""

    def line(text: str) -> None:
        with capture.disabled():
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    return line
