"""SECURITY.md, compared with what the package calls and imports."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import botocore.session
import pytest
from botocore import xform_name

import airflow_ddb_backup
from tests.unit.classes import public_classes

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGE = Path(airflow_ddb_backup.__file__).parent
#: boto3's names of the services that the page names
SERVICES = {
    "DynamoDB": "dynamodb",
    "Resource Groups Tagging API": "resourcegroupstaggingapi",
    "Application Auto Scaling": "application-autoscaling",
}
#: how IAM calls them
PREFIXES = {
    "dynamodb": "dynamodb",
    "tag": "resourcegroupstaggingapi",
    "application-autoscaling": SERVICES["Application Auto Scaling"],
}
# They name operations to map or to limit them, and call none.
TABLES_OF_NAMES = {"boto_errors", "limits"}
#: permissions that AWS needs of whoever starts a restore, or turns a setting on; the package makes none of these calls
FOR_AWS = {
    "cloudwatch:DeleteAlarms",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:PutMetricAlarm",
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
    "kinesis:DescribeStream",
    "kinesis:ListStreams",
    "kinesis:PutRecords",
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:ReEncrypt",
    "sts:AssumeRole",
}
#: modules that talk to a network by themselves
NETWORK = {"aiohttp", "http", "httpx", "requests", "smtplib", "socket", "urllib3"}


def trees() -> dict[str, ast.Module]:
    """Return the package's modules, parsed, by their names in the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found[name] = ast.parse(path.read_text())
    return found


TREES = trees()


@cache
def operations(service: str) -> frozenset[str]:
    """Return the operations that botocore knows of a service."""
    return frozenset(botocore.session.get_session().get_service_model(service).operation_names)


def strings(tree: ast.AST) -> set[str]:
    """Return the string literals of a module, those of IAM actions without the service."""
    found = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return found | {text.rpartition(":")[2] for text in found if re.fullmatch(r"[a-z-]+:\w+", text)}


def attributes(tree: ast.AST) -> set[str]:
    """Return the names of the methods that a module calls or hands on, such as ``describe_backup``, among others."""
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def called(service: str) -> set[str]:
    """Return the operations of a service that the package names in a call, as AWS or as boto3 spells them."""
    names: set[str] = set()
    for module, tree in TREES.items():
        if module not in TABLES_OF_NAMES:
            names |= strings(tree) | attributes(tree)
    # Several services have a TagResource.
    own = operations(service) if service == "dynamodb" else operations(service) - operations("dynamodb")
    return {name for name in own if name in names or xform_name(name) in names}


def told() -> dict[str, tuple[set[str], set[str]]]:
    """Return the operations in the page's table that read and that change something, by boto3's name of the service."""
    rows = re.findall(r"^\| ([A-Z][^|]*) \|([^|]*)\|([^|]*)\|$", (ROOT / "SECURITY.md").read_text(), re.MULTILINE)
    return {SERVICES[name]: (names_in(reads), names_in(changes)) for name, reads, changes in rows}


def names_in(cell: str) -> set[str]:
    """Return the operations in a cell of the table."""
    return set(re.findall(r"`(\w+)`", cell))


def own_imports(module: str) -> set[str]:
    """Return the package's modules that one imports."""
    nodes = (node for node in ast.walk(TREES[module]) if isinstance(node, ast.ImportFrom) and node.module)
    full = {f"{node.module}.{alias.name}" for node in nodes for alias in node.names}
    full |= {str(node.module) for node in ast.walk(TREES[module]) if isinstance(node, ast.ImportFrom)}
    return {name.removeprefix("airflow_ddb_backup.") for name in full} & TREES.keys()


def reached_from(module: str) -> set[str]:
    """Return the modules that one imports, directly or through others."""
    found: set[str] = set()
    todo = {module}
    while todo:
        found |= todo
        todo = {imported for name in todo for imported in own_imports(name)} - found
    return found


def imported_packages() -> Iterator[tuple[str, str]]:
    """Yield each module with a top-level package that it imports."""
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((module, alias.name.partition(".")[0]) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield module, str(node.module).partition(".")[0]


def documented_actions() -> set[str]:
    """Return every IAM action of ``docs/iam.rst`` and of the policies that it includes."""
    page = (ROOT / "docs" / "iam.rst").read_text()
    found = set(re.findall(r"\b(?:dynamodb|tag|application-autoscaling|cloudwatch|kinesis|kms):[A-Z]\w+", page))
    # The package makes none of the calls of ``make aws-test``.
    for policy in {*(ROOT / "docs" / "iam").glob("*.json")} - {ROOT / "docs" / "iam" / "aws_test.json"}:
        for statement in json.loads(policy.read_text())["Statement"]:
            actions = statement["Action"]
            found |= {actions} if isinstance(actions, str) else set(actions)
    return found


def threats() -> dict[str, str]:
    """Return what the threat model says of each threat, by its title."""
    page = (ROOT / "docs" / "security.rst").read_text().partition("\nDeletions and restores\n")[2]
    return dict(re.findall(r"^(\S.*)\n((?:    .*\n|\n(?=    ))+)", page, re.MULTILINE))


def test_threats_are_found() -> None:
    """A search that finds nothing would prove nothing."""
    assert len(threats()) > 20
    assert "A link is made to lead to another host" in threats()


@pytest.mark.parametrize("threat", threats())
def test_each_threat_has_its_tests(threat: str) -> None:
    """By names that are there."""
    named = re.findall(r"``(tests/[\w/]+\.py)::(test_\w+)``", threats()[threat].partition("*Tests:*")[2])
    assert named
    for path, name in named:
        functions = {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if hasattr(node, "name")}
        assert name in functions


def test_calls_are_found() -> None:
    """A search that finds nothing would prove nothing."""
    assert {"CreateBackup", "DeleteBackup", "UpdateTimeToLive"} <= called("dynamodb")
    assert called("application-autoscaling")
    assert len(told()) == len(SERVICES)


@pytest.mark.parametrize("service", SERVICES.values())
def test_every_operation_that_is_called_is_told(service: str) -> None:
    """And none that is not called."""
    reads, changes = told()[service]
    assert reads | changes == called(service)


@pytest.mark.parametrize("service", SERVICES.values())
def test_an_operation_is_told_as_what_it_does(service: str) -> None:
    """AWS names those that read alike."""
    reads, changes = told()[service]
    assert {name for name in reads | changes if re.match("Batch(Get)|Describe|Get|List|Query|Scan", name)} == reads
    assert not reads & changes


def test_nothing_but_backups_and_tables_is_deleted() -> None:
    """No operation that is called deletes anything else, and none writes items; those of a drill are counted."""
    changes = {name for _, found in told().values() for name in found}
    assert {name for name in changes if re.match("Delete|Deregister|Disable|Remove|Untag", name)} == {
        "DeleteBackup",
        "DeleteTable",
    }
    items = {name for name in operations("dynamodb") if re.search("Item|Query|Scan|Statement|Transact", name)}
    assert items & called("dynamodb") == {"Scan"}


def test_only_three_operators_can_delete() -> None:
    """No other imports a module that deletes."""
    deletes = {"delete_backup", "delete_table"}
    deleting = {name for name, tree in TREES.items() if deletes & attributes(tree)}
    modules = {**public_classes("operators"), **public_classes("sensors"), **public_classes("triggers")}
    able = {
        name
        for name, one in modules.items()
        if reached_from(one.__module__.removeprefix("airflow_ddb_backup.")) & deleting
    }
    assert able == {"DynamoDBDeleteBackupOperator", "DynamoDBPruneBackupsOperator", "DynamoDBRestoreDrillOperator"}
    page = (ROOT / "SECURITY.md").read_text()
    assert set(re.findall(r"^- `(\w+Operator)` deletes", page, re.MULTILINE)) == able


def test_no_module_talks_to_a_network_by_itself() -> None:
    """All calls go through boto3 and aiobotocore."""
    assert [(module, name) for module, name in imported_packages() if name in NETWORK] == []


def test_no_module_runs_what_it_is_given() -> None:
    """Nothing that is stored or received is unpickled, evaluated, imported by its name or handed to a shell."""
    modules = {"ctypes", "dill", "marshal", "pickle", "pty", "runpy", "shelve", "subprocess", "yaml"}
    assert [(module, name) for module, name in imported_packages() if name in modules] == []
    found = set()
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                literal = bool(node.args) and isinstance(node.args[0], ast.Constant)
                if (
                    name in {"eval", "exec", "compile", "__import__", "import_module", "system", "popen"}
                    and not literal
                ):
                    found.add((module, name, ast.unparse(node)))
    # Regular expressions are compiled of literals and of this package's own.
    others = {(module, text) for module, name, text in found if not text.startswith("re.compile(")}
    assert others == set()


def test_the_services_are_those_that_are_told() -> None:
    """Whatever a module passes on as the name of a service."""
    known = set(botocore.session.get_session().get_available_services())
    named = set()
    for tree in TREES.values():
        values: list[ast.expr | None] = [
            node.value for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)
        ]
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                values += [keyword.value for keyword in node.keywords if keyword.arg in {"service", "client_type"}]
                func = node.func
                if isinstance(func, ast.Attribute) and func.attr in {"client", "create_client"}:
                    values += node.args[:1]
        named |= {value.value for value in values if isinstance(value, ast.Constant)} & known
    assert named <= set(SERVICES.values())
    assert "dynamodb" in named


def test_the_documented_permissions_are_those_of_the_calls() -> None:
    """And those that AWS itself asks for."""
    called_actions = {f"{prefix}:{name}" for prefix, service in PREFIXES.items() for name in called(service)}
    assert documented_actions() == called_actions | FOR_AWS


def test_every_policy_is_one_that_a_page_shows() -> None:
    """A file that no page includes is read by nobody."""
    pages = "".join(page.read_text() for page in (ROOT / "docs").glob("*.rst"))
    for policy in (ROOT / "docs" / "iam").glob("*.json"):
        assert f"iam/{policy.name}" in pages
        assert json.loads(policy.read_text())["Statement"]
