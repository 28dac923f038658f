"""No code in the documentation that nobody runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import botocore.session
import pytest
import yaml
from airflow.models.connection import Connection
from botocore.validate import ParamValidator

import airflow_ddb_backup
from scripts.sequence import draw, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator.control_plane import ControlPlane

ROOT = Path(__file__).parents[2]
MARKDOWN = [ROOT / "README.md", ROOT / "SECURITY.md"]
PAGES = [*MARKDOWN, ROOT / "CONTRIBUTING.rst", *sorted((ROOT / "docs").glob("*.rst"))]
# Files that are included, by who runs or reads them.
INCLUDED = {
    "README.md": "tests/system/test_readme.py",
    "example_dags/*.py": "tests/system/test_examples.py",
    "docs/iam/*.json": "tests/unit/test_iam.py",
    "docs/alarms/*.json": "tests/unit/test_docs.py",
    "docs/connections/*.sh": "tests/unit/test_docs.py",
    "docs/getting_started/*": "tests/system/test_getting_started.py",
    "docs/*.txt": "tests/unit/retention/test_pages.py",
    "docs/platforms/*": "tests/unit/test_docs.py",
}
# Pages with code of their own, by what runs it.
RUN = {
    ("README.md", "python"): "tests/system/test_readme.py",
    ("getting_started.rst", "console"): "tests/system/test_getting_started.py",
    ("getting_started.rst", "text"): "tests/system/test_getting_started.py",
    ("on_call.rst", "console"): "tests/system/test_on_call.py",
    ("on_call.rst", "text"): "tests/system/test_on_call.py",
    ("troubleshooting.rst", "python"): "tests/unit/test_troubleshooting.py",
    ("troubleshooting.rst", "text"): "tests/unit/test_troubleshooting.py",
}


@dataclass(frozen=True)
class Block:
    """A piece of code on a page.

    :param page: the file
    :param language: as the page has it, empty for a plain literal block
    :param code: the code, or the path of the file that is included
    """

    page: Path
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.name}: {self.code.strip()[:40]}"


_INDENTED = r"\n\n((?:(?: {4,}.*)?\n)+)"
_MARKDOWN = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_DIRECTIVE = re.compile(r"^ *\.\. (?:code-block|code|sourcecode|highlight)::[ ]*(\w*).*?" + _INDENTED, re.MULTILINE)
_LITERAL = re.compile(r"^(?! *\.\.).*(::)" + _INDENTED, re.MULTILINE)
_INCLUDE = re.compile(r"^ *\.\. (?:literalinclude|iam-policy)::() (.+)$", re.MULTILINE)


def blocks() -> Iterator[Block]:
    """Find all code of all pages."""
    for page in PAGES:
        patterns = [_MARKDOWN] if page.suffix == ".md" else [_DIRECTIVE, _LITERAL]
        for pattern in patterns:
            yield from (Block(page, language.strip(":"), code) for language, code in pattern.findall(page.read_text()))


def included() -> Iterator[Block]:
    """Find all files that pages include."""
    for page in PAGES:
        yield from (Block(page, "", path) for _, path in _INCLUDE.findall(page.read_text()))


def links() -> Iterator[tuple[Path, str]]:
    """Find the links of Markdown pages to files of this project; Sphinx checks those of the others."""
    for page in MARKDOWN:
        yield from ((page, target) for target in re.findall(r"\]\((?!https:)([^)]+)\)", page.read_text()))


def paths() -> Iterator[tuple[Path, str]]:
    """Find the files and folders beside the package that pages name."""
    folders = "tests|docs|example_dags|\\.ci|\\.github"
    for page in PAGES:
        found = re.findall(rf"`((?:{folders})/[\w./-]*)`", page.read_text())
        yield from ((page, path) for path in found)


def make_targets(text: str) -> set[str]:
    """Return the targets of all ``make`` commands."""
    return set(re.findall(r"\bmake ([a-z-]+)", text))


def test_blocks_of_every_kind_are_found() -> None:
    """A test that finds nothing would pass."""
    assert {"python", "sh"} <= {block.language for block in blocks() if block.page.name == "README.md"}
    assert {"python", "text"} <= {block.language for block in blocks() if block.page.name == "troubleshooting.rst"}
    assert "" in {block.language for block in blocks() if block.page.name == "getting_started.rst"}
    assert len(list(included())) > 10


@pytest.mark.parametrize("block", list(blocks()), ids=str)
def test_code_on_a_page_is_run(block: Block) -> None:
    """By a test, or it is nothing but ``make`` commands."""
    if runner := RUN.get((block.page.name, block.language)):
        assert (ROOT / runner).exists()
        return
    commands = [line for line in block.code.splitlines() if line.strip()]
    assert [line for line in commands if not line.strip().startswith("make ")] == []
    assert make_targets(block.code) <= make_targets((ROOT / "Makefile").read_text().replace("\n", "\nmake "))


@pytest.mark.parametrize("block", list(included()), ids=str)
def test_an_included_file_is_run(block: Block) -> None:
    """By the tests of its kind."""
    file = (block.page.parent / block.code).resolve()
    assert file.exists()
    assert [pattern for pattern in INCLUDED if file in ROOT.glob(pattern)]


@pytest.mark.parametrize(("page", "target"), [*links(), *paths()], ids=str)
def test_a_file_that_a_page_names_is_there(page: Path, target: str) -> None:
    """A file that was moved is found under its new name."""
    assert (page.parent / target).exists() or (ROOT / target).exists()


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.rst")), ids=lambda path: path.name)
def test_readme_leads_to_every_page(page: Path) -> None:
    """Where the documentation is not built, it is read there."""
    assert f"](docs/{page.name})" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("runner", sorted({*INCLUDED.values(), *RUN.values()}))
def test_the_runners_exist(runner: str) -> None:
    """And are collected."""
    assert "def test_" in (ROOT / runner).read_text()


@pytest.mark.parametrize("script", sorted((ROOT / "docs" / "connections").glob("*.sh")), ids=lambda path: path.stem)
def test_a_connection_is_one_that_airflow_reads(script: Path) -> None:
    """A shell sets the variable, and Airflow makes an AWS connection of it."""
    show = f'. "{script}" && env --null'
    shell = subprocess.run(
        ["/bin/sh", "-c", show], check=True, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}
    )
    variables = dict(line.split("=", 1) for line in shell.stdout.split("\0") if "=" in line)
    (connection,) = (value for name, value in variables.items() if name.startswith("AIRFLOW_CONN_AWS_"))
    parsed = Connection.from_json(connection)
    assert parsed.conn_type == "aws"
    assert parsed.extra_dejson["region_name"] == "us-east-1"


@pytest.mark.parametrize("policy", sorted((ROOT / "docs" / "iam").glob("*.json")), ids=lambda path: path.stem)
def test_a_policy_is_one_that_aws_reads(policy: Path) -> None:
    """It has a version, and each statement an effect and an action."""
    document = json.loads(policy.read_text())
    assert document["Version"] == "2012-10-17"
    assert all({"Effect", "Action"} <= set(statement) for statement in document["Statement"])


def test_the_alarm_is_one_that_cloudwatch_takes() -> None:
    """It rings for want of data, within a week, on a metric of the user's own, which the page names."""
    alarm = json.loads((ROOT / "docs" / "alarms" / "no_fresh_check.json").read_text())
    model = botocore.session.get_session().get_service_model("cloudwatch").operation_model("PutMetricAlarm")
    assert not ParamValidator().validate(alarm, model.input_shape).has_errors()
    assert alarm["TreatMissingData"] == "breaching"
    assert 26 * 3600 == alarm["Period"] * alarm["EvaluationPeriods"] <= 604_800
    assert not alarm["Namespace"].startswith("AWS/")
    page = " ".join((ROOT / "docs" / "coverage.rst").read_text().split())
    assert f'``Namespace="{alarm["Namespace"]}"``, ``MetricName="{alarm["MetricName"]}"``' in page


PLATFORMS = ROOT / "docs" / "platforms"
(PINNED,) = re.findall(r"^apache-airflow==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
WHEEL = f"airflow_ddb_backup-{airflow_ddb_backup.__version__}-py3-none-any.whl"


def test_the_requirement_is_the_wheel_of_this_version() -> None:
    """In the folder into which MWAA unpacks the plugins."""
    assert (PLATFORMS / "requirements.txt").read_text() == f"/usr/local/airflow/plugins/{WHEEL}\n"


def test_the_image_installs_the_wheel_beside_its_own_airflow() -> None:
    """Of the Airflow that the tests run on, without a version that would have to be kept."""
    base, copy, run = (PLATFORMS / "Dockerfile").read_text().splitlines()
    pattern = copy.split()[1]
    assert fnmatch(f"dist/{WHEEL}", pattern)
    assert run.endswith(f"/tmp/{pattern.removeprefix('dist/')}")  # noqa: S108  # of the image
    assert base == f"FROM apache/airflow:{PINNED}"


def test_the_versions_of_the_first_steps_are_those_that_the_tests_run_on() -> None:
    """Airflow's, and this package's."""
    page = (ROOT / "docs" / "getting_started.rst").read_text()
    assert set(re.findall(r'"apache-airflow==([\d.]+)"', page)) == {PINNED}
    assert set(re.findall(r"/constraints-([\d.]+)/", page)) == {PINNED}
    assert f" {airflow_ddb_backup.__version__}\n" in page


def test_the_chart_gives_workers_and_triggerer_one_role() -> None:
    """And a connection that Airflow reads."""
    values = yaml.safe_load((PLATFORMS / "values.yaml").read_text())
    (variable,) = values["env"]
    assert variable["name"] == "AIRFLOW_CONN_AWS_DEFAULT"
    assert Connection.from_json(variable["value"]).conn_type == "aws"
    assert values["triggerer"]["serviceAccount"] == values["workers"]["serviceAccount"]


class TestSequenceDiagrams:
    """The drawings of docs/how_it_works.rst."""

    LINES = ("A, B", "A -> B: asks", "B -x A: answers <b>", "A: waits")

    def test_a_drawing_tells_its_steps(self) -> None:
        """To those who can't see it; a letter of markup is none."""
        drawn = draw("A case", *parse(self.LINES))
        assert ">1. A to B: asks. 2. B to A (lost): answers &lt;b&gt;. 3. A: waits.</desc>" in drawn
        assert drawn.count("<path") == 4
        assert 'role="img" aria-labelledby="a-case-title a-case-steps"' in drawn

    @pytest.mark.parametrize("line", ["A asks B", "A -> C: asks", "C: waits", "A -> B:"])
    def test_a_wrong_line_fails_the_build(self, line: str) -> None:
        """Rather than to be left out."""
        with pytest.raises(ValueError, match="not a line of a sequence diagram"):
            parse([*self.LINES, line])


def test_the_script_to_try_with_touches_no_table_of_somebody_else(control_plane: ControlPlane) -> None:
    """Who follows getting started in an account that has a table orders loses nothing of it."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    environment = os.environ | keys | {"AWS_ENDPOINT_URL": control_plane.url}

    def shop(*what: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "docs" / "getting_started" / "shop.py"), *what]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    control_plane.client().put_item(TableName="orders", Item={"id": {"S": "1"}})
    backups = control_plane.add_backups("orders", 1, "theirs", age=3600)
    for what in ("damage", "remove"):
        assert shop(what).stderr == "table orders was not made by this script: nothing is changed\n"
    assert control_plane.client().scan(TableName="orders")["Count"] == 1
    assert control_plane.backup_arns() == backups
    control_plane.drop_table("orders")
    assert shop("create").stdout == "table orders: {'1': '10', '2': '10', '3': '10'}\n"
    assert shop("damage").stdout == "table orders: {'2': '0', '3': '10'}\n"
    client = control_plane.client()
    own = control_plane.add_backups("orders", 1)[0]
    restored = client.restore_table_from_backup(TargetTableName="orders-restored", BackupArn=str(own))
    arn = restored["TableDescription"]["TableArn"]
    client.tag_resource(ResourceArn=arn, Tags=[{"Key": "made-by", "Value": "shop.py"}])
    assert shop("remove").returncode == 0
    # Those of the earlier table stay.
    assert control_plane.backup_arns() == backups
