"""Programs that run in the background, and patience with them."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_T = TypeVar("_T")
# Airflow is healthy after 12 to 18 s on 2 cores, when nothing else runs.
PATIENCE = 180.0
# What was asked to end and has not by then is killed.
GRACE = 20.0
_LAST_LINES = 15
# Kills the process groups that it was told of once, and not of twice, when whoever tells it is gone.
_GUARD = """
import os, signal, sys
groups = set()
for line in sys.stdin:
    groups ^= {int(line)}
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


class ImpatientError(Exception):
    """Something did not come about in time."""


class EndedError(Exception):
    """A program has ended that should run."""


def wait_until(
    what: str, done: Callable[[], object], patience: float = PATIENCE, check: Callable[[], object] = lambda: None
) -> None:
    """Wait until something is so. To look at hundreds of tasks keeps the API busy: a tenth of the time is enough.

    :param what: what is waited for, in words
    :param done: whether it is so
    :param patience: seconds
    :param check: raises once waiting is in vain
    :raises ImpatientError: it took longer
    """
    give_up = time.monotonic() + patience
    while True:
        looked = time.monotonic()
        if done():
            return
        check()
        if (now := time.monotonic()) > give_up:
            message = f"waited {patience:.0f} s for {what}"
            raise ImpatientError(message)
        time.sleep(min(max(0.5, 9 * (now - looked)), 10))


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@dataclass(frozen=True)
class Program:
    """A program to run.

    :param name: what it is called here
    :param command: its arguments
    :param environment: more environment variables
    :param user: whose process it is; ``None``: ours
    :param stop_signal: what asks it to end
    """

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM


class Memory(NamedTuple):
    """The memory of processes, in MB.

    :param rss: the sum of their resident set sizes, as ``ps`` shows them: what they share counts for each
    :param pss: the sum of their proportional set sizes: what they share counts once, until one of them writes to it
    """

    rss: float
    pss: float


class Processes:
    """Running programs, by name.

    :param home: their working directory; the log of each is in ``NAME.log``
    :param environment: the environment variables of all of them
    :param say: takes lines on the progress
    """

    def __init__(self, home: Path, environment: dict[str, str], say: Callable[[str], None]) -> None:
        self.home = home
        self.environment = environment
        self._say = say
        self._programs: dict[str, Program] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._guard: subprocess.Popen[str] | None = None

    @contextmanager
    def stopped_at_the_end(self) -> Iterator[None]:
        """Stop all that runs, the last one first; a failure tells what each program has last printed.

        If this process is killed, so are they: at Ctrl-C, pytest-xdist gives its processes 10 seconds.
        """
        guard = [sys.executable, "-S", "-c", _GUARD]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, text=True, start_new_session=True)
        try:
            yield
        except Exception as error:
            for name in self._programs:
                error.add_note(f"{name}:\n" + "\n".join(self.log(name).splitlines()[-_LAST_LINES:]))
            raise
        finally:
            for name in reversed(list(self._running)):
                self.stop(name)
            self._guard.communicate()

    def start(self, program: Program) -> None:
        """Start a program."""
        self._say(f"starting the {program.name}")
        self._programs[program.name] = program
        if ended := self._running.pop(program.name, None):
            self._tell_guard(ended.pid)
        with Path(self.home, f"{program.name}.log").open("ab") as log:
            self._running[program.name] = subprocess.Popen(
                program.command,
                env=self.environment | program.environment,
                cwd=self.home,
                stdout=log,
                stderr=log,
                user=program.user,
                # A session of its own: a terminal's Ctrl-C is not for it.
                start_new_session=True,
            )
        self._tell_guard(self._running[program.name].pid)

    def check_running(self) -> None:
        """Check that nothing has ended by itself.

        :raises EndedError: a program has
        """
        ended = {name: process.poll() for name, process in self._running.items()}
        if told := [f"{name} (exit code {code})" for name, code in ended.items() if code is not None]:
            message = f"ended by itself: {', '.join(told)}"
            raise EndedError(message)

    def start_again(self, *names: str) -> None:
        """Start the programs, by default all, that have ended, by themselves or not."""
        for name in names or self._programs:
            process = self._running.get(name)
            if process is None or process.poll() is not None:
                self.start(self._programs[name])

    def stop(self, name: str) -> None:
        """Ask a program to end; kill what is left of it."""
        self._say(f"stopping the {name}")
        family = self._family(name)
        process = self._running.pop(name)
        process.send_signal(self._programs[name].stop_signal)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        kill_all(family)
        self._tell_guard(process.pid)

    @contextmanager
    def replaced(self, program: Program) -> Iterator[None]:
        """Run a program instead of the one of its name, and that one again at the end."""
        usual = self._programs[program.name]
        self.stop(program.name)
        self.start(program)
        try:
            yield
        finally:
            self.stop(program.name)
            self.start(usual)

    def kill(self, name: str) -> None:
        """Kill a program and all of its children, which can do nothing about it."""
        self._say(f"killing the {name}")
        family = self._family(name)
        process = self._running.pop(name)
        process.kill()
        process.wait()
        kill_all(family)
        self._tell_guard(process.pid)

    def child_with_port(self, port: int) -> psutil.Process | None:
        """Return the child, of any program here, that has a TCP connection from a local port."""
        # Another thread may start and stop programs meanwhile.
        for name in list(self._running):
            for child, connections in told_by(self._family(name), lambda child: child.net_connections("tcp")):
                if port in {one.laddr.port for one in connections if one.laddr}:
                    return child
        return None

    def tree(self, name: str) -> list[psutil.Process]:
        """Return the process of a program and all of its children; nothing if it does not run."""
        try:
            return [psutil.Process(self._running[name].pid), *self._family(name)]
        except (KeyError, psutil.NoSuchProcess):
            return []

    def memory(self, name: str) -> Memory:
        """Return what a program and its children take."""
        taken = [told for _, told in told_by(self.tree(name), psutil.Process.memory_full_info)]
        return Memory(rss=sum(one.rss for one in taken) / 1e6, pss=sum(one.pss for one in taken) / 1e6)

    def cpu_seconds(self) -> dict[str, float]:
        """Return the processor time that each running program has taken, with its children, also those that ended."""
        return {
            name: float(sum(sum(times[:4]) for _, times in told_by(self.tree(name), psutil.Process.cpu_times)))
            for name in list(self._running)
        }

    def log(self, name: str) -> str:
        """Return what a program has printed."""
        return Path(self.home, f"{name}.log").read_text(errors="replace")

    def _tell_guard(self, group: int) -> None:
        assert self._guard
        assert self._guard.stdin
        self._guard.stdin.write(f"{group}\n")
        self._guard.stdin.flush()

    def _family(self, name: str) -> list[psutil.Process]:
        # Asked for while the program runs: orphans no longer tell whose they were.
        try:
            return list(psutil.Process(self._running[name].pid).children(recursive=True))
        except (KeyError, psutil.NoSuchProcess):
            return []


def told_by(
    processes: Iterable[psutil.Process], read: Callable[[psutil.Process], _T]
) -> Iterator[tuple[psutil.Process, _T]]:
    """Yield each process with what is read of it, but for those that end meanwhile, or tell nothing once they have."""
    for process in processes:
        try:
            told = read(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        yield process, told


def kill_all(processes: Sequence[psutil.Process]) -> None:
    """Kill processes, of which some may have ended."""
    for process in processes:
        # psutil knows a process by its id and its start: a reused id is left alone.
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=GRACE)
