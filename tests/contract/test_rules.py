"""The simulated control plane keeps the rules of AWS.md; moto's bare server breaks exactly those that are listed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ddb_backup.clock import Clock as PackageClock
from tests.contract import never
from tests.contract.account import Account
from tests.contract.rule import CONFIRMED, NOT_SEEN, WRONG
from tests.contract.rules import ALSO, RULES
from tests.contract.support import new_run, reach, served
from tests.simulator.clock import StillClock
from tests.simulator.control_plane import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.conftest import Seen
    from tests.contract.rule import Rule

NEVER = {rule.name for rule in never.RULES}
APART = {rule.name for rule in RULES if rule.also == "throttling"} | {"another_account_s_backup_is_denied"}
MOTO = Path(__file__).parent / "moto.json"

pytestmark = pytest.mark.xdist_group("contract")


@pytest.mark.parametrize("rule", [one for one in RULES if one.name not in NEVER | APART], ids=lambda rule: rule.name)
def test_the_simulation_keeps(seen: Seen, rule: Rule) -> None:
    """The docstring of each rule is a fact of AWS.md."""
    assert seen.verdicts[rule.name][0] == CONFIRMED, seen.verdicts[rule.name][1]


def test_the_simulation_keeps_these_too(tmp_path: Path) -> None:
    """Calls above the rates, and those that the policy of the documentation does not allow."""
    with served():
        run = new_run(tmp_path / "result.json", rules=[rule for rule in RULES if rule.name in APART])
        assert run.run() == 0
    assert {one.verdict for one in run.verdicts} == {CONFIRMED}


@pytest.mark.parametrize("name", sorted(NEVER))
def test_what_can_t_be_seen_has_a_reason(seen: Seen, name: str) -> None:
    """It is in the result all the same."""
    verdict, why = seen.verdicts[name]
    assert (verdict, bool(why)) == (NOT_SEEN, True)


def test_each_rule_names_a_section_and_a_fact() -> None:
    """By a name that no other rule has."""
    text = (Path(__file__).parents[1] / "simulator" / "AWS.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^## (.+)$", text, re.MULTILINE))
    assert {rule.section for rule in RULES} <= sections
    assert all(rule.fact.endswith((".", '"')) for rule in RULES)
    assert {rule.also for rule in RULES} == {"", *ALSO}
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serve moto as it is: the simulated control plane changes it."""
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-p", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            url = next(found[0] for line in process.stderr if (found := re.search(r"http://[\d.:]+", line)))
            # It logs each call.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            reach(url, monkeypatch)
            yield
        finally:
            process.terminate()


@pytest.mark.cluster
@pytest.mark.usefixtures("moto")
def test_moto_breaks_exactly_these(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what passes there at once can't be seen."""
    monkeypatch.setattr(PackageClock, "source", StillClock())
    path = tmp_path / "result.json"
    run = new_run(path)
    assert run.run() == 1
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    seen = {kind: [one["rule"] for one in result["rules"] if one["verdict"] == kind] for kind in (WRONG, NOT_SEEN)}
    expected = json.loads(MOTO.read_text(encoding="utf-8"))
    assert seen == {WRONG: expected[WRONG], NOT_SEEN: expected[NOT_SEEN] + [rule.name for rule in never.RULES]}
    assert ACCOUNT not in path.read_text(encoding="utf-8")
    assert "arn:aws" not in path.read_text(encoding="utf-8")
    assert isinstance(run.account, Account)
    assert run.account.table_names() == []
