"""Sequence diagrams as SVG, drawn by the documentation's build: no program, no script and no network.

The text of a diagram has a line for each thing that happens::

    Worker, DynamoDB
    Worker -> DynamoDB: CreateBackup
    DynamoDB -x Worker: the response is lost
    Worker: lists for 10 s

The first line names who takes part. ``->`` is an arrow, ``-x`` one that does not arrive, and a line without either is a
note. Colours are those of the page's text; screen readers are told the same lines.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_LINE = re.compile(r"(?P<sender>[^:]+?)(?: (?P<arrow>->|-x) (?P<receiver>[^:]+?))?: (?P<text>.+)")
# Pixels, at a font of 13 pixels whose letters are 7 wide.
_LETTER, _ROW, _LANE, _EDGE, _TOP = 7, 17, 190, 95, 44


@dataclass(frozen=True, slots=True)
class Step:
    """A line of a diagram.

    :param sender: who does something
    :param text: what is done or sent
    :param receiver: who is sent it; empty: nobody, it is a note
    :param lost: whether it never arrives
    """

    sender: str
    text: str
    receiver: str = ""
    lost: bool = False

    def __str__(self) -> str:
        if not self.receiver:
            return f"{self.sender}: {self.text}."
        return f"{self.sender} to {self.receiver}{' (lost)' if self.lost else ''}: {self.text}."


def parse(lines: Sequence[str]) -> tuple[list[str], list[Step]]:
    """Return who takes part, and the steps.

    :param lines: the diagram's text
    :raises ValueError: a line is none of a diagram, or names somebody who does not take part
    """
    names = [name.strip() for name in lines[0].split(",")]
    steps = []
    for line in filter(None, lines[1:]):
        if not (found := _LINE.fullmatch(line)) or not {found["sender"], found["receiver"] or names[0]} <= set(names):
            message = f"not a line of a sequence diagram: {line}"
            raise ValueError(message)
        steps.append(Step(found["sender"], found["text"], found["receiver"] or "", found["arrow"] == "-x"))
    return names, steps


@dataclass(slots=True)
class _Canvas:
    """The parts of a drawing, and how far down it has got."""

    parts: list[str] = field(default_factory=list)
    y: int = _TOP

    def text(self, lines: Sequence[str], x: float, kind: str) -> None:
        """Write some lines, centred, below all else."""
        for line in lines:
            self.y += _ROW
            self.parts.append(f'<text class="{kind}" x="{x}" y="{self.y}">{escape(line)}</text>')

    def note(self, text: str, x: float) -> None:
        """Write a note in a box on a line of life."""
        lines = textwrap.wrap(text, (_LANE - 24) // _LETTER)
        self.y += 10
        box = f'x="{x - _LANE / 2 + 6}" y="{self.y}" width="{_LANE - 12}" height="{_ROW * len(lines) + 12}" rx="4"'
        self.parts.append(f"<rect {box}/>")
        self.text(lines, x, "note")
        self.y += 14

    def arrow(self, text: str, start: float, end: float, *, lost: bool) -> None:
        """Draw an arrow, its text above it."""
        self.y += 6
        self.text(textwrap.wrap(text, (int(abs(end - start)) - 16) // _LETTER), (start + end) / 2, "sent")
        self.y += 9
        if lost:
            end = (start + end) / 2
        back = -7 if end > start else 7
        head = (
            f"M{end - 5},{self.y - 5}l10,10m0,-10l-10,10" if lost else f"M{end},{self.y}l{back},-4m{-back},4l{back},4"
        )
        self.parts.append(f'<path d="M{start},{self.y}H{end}{head}"/>')
        self.y += 5


def draw(title: str, names: Sequence[str], steps: Sequence[Step]) -> str:
    """Return the SVG of a diagram.

    :param title: what it is about, for screen readers
    :param names: who takes part, from the left
    :param steps: what happens, in order
    """
    place = {name: _EDGE + _LANE * number for number, name in enumerate(names)}
    canvas = _Canvas()
    for step in steps:
        start = place[step.sender]
        if step.receiver:
            canvas.arrow(step.text, start, place[step.receiver], lost=step.lost)
        else:
            canvas.note(step.text, start)
    height, width = canvas.y + 16, _LANE * len(names)
    heads = [
        f'<path class="life" d="M{x},{_TOP - 6}V{height}"/>'
        f'<rect x="{x - 80}" y="8" width="160" height="30" rx="4"/>'
        f'<text class="head" x="{x}" y="28">{escape(name)}</text>'
        for name, x in place.items()
    ]
    label = re.sub(r"\W+", "-", title.lower()).strip("-")
    told = " ".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
    return (
        f'<div class="sequence" tabindex="0" role="region" aria-label="{escape(title)}">'
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-labelledby="{label}-title {label}-steps" xmlns="http://www.w3.org/2000/svg">'
        f'<title id="{label}-title">{escape(title)}</title><desc id="{label}-steps">{escape(told)}</desc>'
        f"{''.join(heads + canvas.parts)}</svg></div>"
    )
