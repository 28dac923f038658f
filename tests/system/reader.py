"""A reader who follows a page word by word: saves its files, types its commands, compares every output."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

from tests.system.processes import GRACE, PATIENCE, kill_all, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_DIRECTIVE = re.compile(
    r"^( *)\.\. (tab-item|code-block|literalinclude):: (.+)\n((?: *:\w+:.*\n)*)((?:\n|\1 +.*\n)*)", re.MULTILINE
)
_VARIES = "…"
# A caption with this at its end is that of another terminal than the first.
_TERMINAL = "terminal"
_END = "end-of-command"
# Seconds that one command may take: pip resolves and downloads for some minutes.
_LONGEST = 1_200.0


@dataclass(frozen=True)
class Block:
    """A piece of a page.

    :param kind: ``console``, ``text`` or another language; ``file`` for one that is included
    :param code: what it shows; of a file its path
    :param caption: what stands above it
    :param repeated: whether the page tells to repeat the command until its output is so
    :param tab: the tab that it is in, if any
    """

    kind: str
    code: str
    caption: str
    repeated: bool
    tab: str

    def commands(self) -> Iterator[tuple[str, str]]:
        """Yield each command of a console block, with the output that the page shows."""
        for part in re.split(r"^\$ ", self.code, flags=re.MULTILINE)[1:]:
            command = re.match(r"(?:.*\\\n)*.*\n?", part)
            assert command is not None
            yield command.group().rstrip("\n"), part[command.end() :].rstrip("\n")


def blocks(page: Path, section: str = "") -> Iterator[Block]:
    """Read a page, or one section of it."""
    text = page.read_text() + "\n"
    if section:
        _, *parts = re.split(r"^(.+)\n-+\n", text, flags=re.MULTILINE)
        text = dict(zip(parts[::2], parts[1::2], strict=True))[section]
    tab, tab_indent, position = "", 0, 0
    while found := _DIRECTIVE.search(text, position):
        indent, kind, argument, options, body = found.groups()
        position = found.end(4)
        if len(indent) <= tab_indent:
            tab = ""
        if kind == "tab-item":
            tab, tab_indent = argument, len(indent)
            continue
        named = re.search(r":caption: (.+)", options)
        caption, repeated = named.group(1) if named else "", ":class: until" in options
        if kind == "literalinclude":
            yield Block("file", argument, caption, repeated, tab)
        else:
            lines = [line[len(indent) + 4 :] for line in body.strip("\n").splitlines()]
            yield Block(argument, "\n".join(lines) + "\n", caption, repeated, tab)


def pattern_of(shown: str) -> re.Pattern[str]:
    """Return what an output must match: ``…`` in a line is anything there, alone in a line any lines.

    Airflow's tables are as wide as what is in them, so a number of spaces is any number.
    """
    lines = [
        r"(?:.*\n)*" if line == _VARIES else re.sub(r"(?:\\ )+", " +", re.escape(line)).replace(_VARIES, ".*") + " *\n"
        for line in shown.splitlines()
    ]
    return re.compile("^" + "".join(lines), re.MULTILINE)


def tidied(output: str) -> str:
    """Return an output without colours and empty lines at its ends."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output).replace("\r", "").strip("\n")
    return f"{plain}\n" if plain else ""


def log_of(airflow_home: Path, dag_id: str, task_id: str) -> str:
    """Return the lines that Airflow's web UI shows of a task's newest log."""
    pattern = f"logs/dag_id={dag_id}/run_id=*/task_id={task_id}/attempt=*[0-9].log"
    newest = max(airflow_home.glob(pattern), key=lambda path: path.stat().st_mtime)
    lines = []
    for entry in map(json.loads, newest.read_text().splitlines()):
        raised = [f"{error['exc_type']}: {error['exc_value']}" for error in entry.get("error_detail") or []]
        lines += [entry["event"], *raised]
    return "\n".join(lines) + "\n"


class Terminal:
    """A shell in which a reader types.

    :param folder: where it is, with what it has printed in ``NAME.log``
    :param name: what it is called here
    :param environment: its environment variables
    """

    def __init__(self, folder: Path, name: str, environment: Mapping[str, str]) -> None:
        self._log = folder / f"{name}.log"
        with self._log.open("wb") as log:
            self._shell = subprocess.Popen(
                ["/bin/bash", "--norc"],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def printed(self) -> str:
        """Return all that it has printed."""
        return self._log.read_text(errors="replace")

    def type(self, line: str) -> None:
        """Type a line."""
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{line}\n")
        self._shell.stdin.flush()

    def run(self, command: str, patience: float) -> tuple[str, int]:
        """Run a command to its end, and return its output and exit code."""
        begin = len(self.printed())
        self.type(f"{{ {command}\n}} </dev/null; echo; echo {_END} $?")
        wait_until(command, lambda: re.search(rf"\n{_END} \d+\n", self.printed()[begin:]), patience, self.check)
        output, _, code = self.printed()[begin:].rpartition(f"\n{_END} ")
        return tidied(output), int(code)

    def check(self) -> None:
        """Check that it is still there.

        :raises AssertionError: it has ended by itself
        """
        assert self._shell.poll() is None, f"the terminal has ended:\n{self.printed()[-2_000:]}"

    def close(self) -> None:
        """Type Ctrl-C, and end what is left."""
        family = psutil.Process(self._shell.pid).children(recursive=True) if self._shell.poll() is None else []
        with suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGINT)
        kill_all(psutil.wait_procs(family, timeout=GRACE)[1])
        self._shell.kill()
        self._shell.communicate()


@dataclass
class Reader:
    """Follows a page, in a folder that is home as well.

    :param home: the folder
    :param environment: the environment variables of each terminal
    :param airflow_home: where Airflow's logs are
    :param tab: the title of the tab that is chosen wherever there are several
    :param instead: what is typed instead of some text of the page, and shown
    :param seconds: how long each command has taken
    """

    home: Path
    environment: Mapping[str, str]
    airflow_home: Path
    tab: str = ""
    instead: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    _terminals: dict[str, Terminal] = field(default_factory=dict)

    def follow(self, page: Path, section: str = "") -> None:
        """Do what a page, or one section of it, says."""
        try:
            for block in blocks(page, section):
                if not block.tab or not self.tab or block.tab == self.tab:
                    self._do(block, page)
        finally:
            for name in reversed(list(self._terminals)):
                self._terminals.pop(name).close()

    def _do(self, block: Block, page: Path) -> None:
        if block.kind == "file" and block.caption:
            self._save(block.caption, (page.parent / block.code).read_text())
        elif block.kind == "console":
            self._type(block)
        elif block.kind == "text" and ", " in block.caption:
            log = log_of(self.airflow_home, *block.caption.split(", "))
            assert pattern_of(block.code).search(log), f"{block}\nnot in\n{log}"

    def _save(self, name: str, text: str) -> None:
        (path := self.home / name.removeprefix("~/")).parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def _type(self, block: Block) -> None:
        name = block.caption if block.caption.endswith(_TERMINAL) else f"First {_TERMINAL}"
        if name not in self._terminals:
            self._terminals[name] = Terminal(self.home, name, self.environment)
        terminal = self._terminals[name]
        for command, shown in block.commands():
            begin = time.monotonic()
            typed = self._adapted(command)
            if block.caption.endswith(_TERMINAL):
                terminal.type(typed)
                wait_until(command, lambda: _found(shown, terminal), PATIENCE, terminal.check)  # noqa: B023
            else:
                self._compare(block, typed, self._adapted(shown), terminal)
            self.seconds[command] = time.monotonic() - begin

    def _adapted(self, text: str) -> str:
        for shown, typed in self.instead.items():
            text = text.replace(shown, typed)
        return text

    def _compare(self, block: Block, command: str, shown: str, terminal: Terminal) -> None:
        give_up = time.monotonic() + PATIENCE
        while True:
            output, code = terminal.run(command, _LONGEST)
            right = code == 0 and pattern_of(shown).fullmatch(output)
            if right or not block.repeated or time.monotonic() > give_up:
                assert right, f"$ {command}\n{output}\n(exit code {code}) is not\n{shown}"
                return


def _found(shown: str, terminal: Terminal) -> bool:
    # What runs on in a terminal prints more than a page shows.
    printed = tidied(terminal.printed())
    return all(pattern_of(line).search(printed) for line in shown.splitlines())
