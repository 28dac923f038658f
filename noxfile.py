"""Every Airflow and every Python that the package claims: ``make matrix``.

Each session installs the built wheel, not the source tree, with the newest of everything that its Airflow allows, and
runs the unit tests and the system tests on SQLite beside it.
"""

from __future__ import annotations

import csv
import json
import shutil
import time
import tomllib
from pathlib import Path
from xml.etree import ElementTree as ET

import nox

ROOT = Path(__file__).parent
RESULTS = ROOT / "docs" / "versions.csv"
# What each session's last run has shown; nothing if it failed.
ROWS = ROOT / "build" / "versions"
PAGES = ("README.md", "SECURITY.md", "CONTRIBUTING.rst", "CHANGELOG.rst")
TESTED = (
    "tests",
    "benchmarks",
    "scripts",
    "example_dags",
    "docs",
    ".ci",
    "constraints.txt",
    ".airflow-registry.yaml",
    "pyproject.toml",
    "Makefile",
    *PAGES,
)
# By the names of their columns.
SHOWN = {
    "Airflow": "apache-airflow",
    "amazon provider": "apache-airflow-providers-amazon",
    "boto3": "boto3",
    "aiobotocore": "aiobotocore",
}
LOWEST = "lowest"
# Airflow, and the Pythons: all of those that both sides allow for the oldest and the newest, one for those in between.
MATRIX = {
    "2.11": ("3.11", "3.12"),
    "3.0": ("3.11",),
    "3.1.0": ("3.11",),
    "3.1": ("3.12",),
    "3.2": ("3.13",),
    "3.3": ("3.11", "3.12", "3.13"),
    LOWEST: ("3.11",),
}
# What has since broken Airflow itself; its constraint files hold older ones.
OLDER = {
    "3.0": ("cadwyn<5.5", "fastapi<0.117", "svcs<26"),
    "3.1.0": ("cadwyn<5.5", "fastapi<0.118", "structlog<25.5", "svcs<26"),
    "3.2": ("cadwyn<7", "fastapi<0.137", "svcs<26"),
}
# They import with nothing installed but what the wheel asks for itself.
PUBLIC = ("hooks", "links", "operators", "sensors", "triggers")

nox.options.default_venv_backend = "uv"
nox.options.error_on_missing_interpreters = True
nox.options.stop_on_first_error = False


def _row(airflow: str, python: str) -> Path:
    return ROWS / f"{airflow}-{python}.json"


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _bounds() -> dict[str, str]:
    """Return the lower bounds that the package claims, by distribution."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = (requirement.split(">=") for requirement in project["dependencies"])
    return {name.partition("[")[0]: bound for name, bound in bounds}


def _installed(session: nox.Session) -> dict[str, str]:
    listed = session.run("uv", "pip", "list", "--format", "json", silent=True, external=True)
    return {one["name"]: one["version"] for one in json.loads(str(listed)[str(listed).index("[") :])}


def _check_versions(session: nox.Session, airflow: str) -> dict[str, str]:
    """Fail unless what is installed is what the session is named for."""
    installed = _installed(session)
    if airflow == LOWEST:
        wrong = {name: installed[name] for name, bound in _bounds().items() if installed[name] != bound}
    else:
        version = installed["apache-airflow"]
        wrong = {} if f"{version}.".startswith(f"{airflow}.") else {"apache-airflow": version}
    python = str(session.run("python", "-c", "import platform; print(platform.python_version())", silent=True)).strip()
    if _minor(python) != session.python:
        wrong["python"] = python
    if wrong:
        session.error(f"other versions were installed than asked for: {wrong}")
    return {"Python": python} | {column: installed[name] for column, name in SHOWN.items()}


def _install(session: nox.Session, airflow: str) -> None:
    if airflow == LOWEST:
        wanted = [f"{name}=={bound}" for name, bound in _bounds().items()]
    else:
        wanted = [f"apache-airflow=={airflow}.*", *OLDER.get(airflow, ())]
    # Without it, uv takes the wheel that it built last of this folder, for as long as pyproject.toml is the same.
    session.install("--compile-bytecode", "--reinstall-package", "airflow-ddb-backup", ".", *wanted)
    imports = ", ".join(f"airflow_ddb_backup.{part}.dynamodb" for part in PUBLIC)
    with session.chdir(session.create_tmp()):
        session.run("python", "-W", "ignore", "-c", f"import {imports}", silent=True)
    session.install("--compile-bytecode", ".", "--group", "test", *wanted)


def _default_marks() -> str:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["addopts"]
    return str(options[options.index("-m") + 1])


def _run_tests(session: nox.Session, versions: dict[str, str], selected: list[str]) -> dict[str, object]:
    beside = Path(session.create_tmp())
    for name in TESTED:
        source = ROOT / name
        shutil.rmtree(beside / name, ignore_errors=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, beside / name)
    start = time.monotonic()
    with session.chdir(beside):
        # Load is the same on every version.
        marked = ["-m", f"{_default_marks()} and not load"]
        two_cores = ["-n", "2", "--dist", "loadgroup"]
        session.run("python", "-m", "pytest", "--junitxml=report.xml", *two_cores, *marked, *selected)
    report = ET.parse(beside / "report.xml").getroot().find("testsuite")  # noqa: S314  # our own pytest wrote it
    counts = {name: int(report.get(name, 0)) if report is not None else 0 for name in ("tests", "skipped")}
    passed = counts["tests"] - counts["skipped"]
    return versions | {"passed": passed, "skipped": counts["skipped"], "seconds": round(time.monotonic() - start)}


@nox.session
@nox.parametrize(
    ("python", "airflow"),
    [nox.param(python, airflow, id=f"{airflow}-{python}") for airflow, pythons in MATRIX.items() for python in pythons],
)
def tests(session: nox.Session, airflow: str) -> None:
    """Run the tests on one Airflow and one Python."""
    row = _row(airflow, str(session.python))
    row.unlink(missing_ok=True)
    _install(session, airflow)
    versions = _check_versions(session, airflow)
    session.log(", ".join(f"{name} {version}" for name, version in versions.items()))
    shown = _run_tests(session, versions, session.posargs)
    row.parent.mkdir(parents=True, exist_ok=True)
    row.write_text(json.dumps(shown))


@nox.session(venv_backend="none", default=False)
def write_results(session: nox.Session) -> None:
    """Write the table of the docs, once the last run of every session of the matrix has passed."""
    files = [_row(airflow, python) for airflow, pythons in MATRIX.items() for python in pythons]
    if missing := [file.stem for file in files if not file.exists()]:
        session.error(f"not passed: {', '.join(missing)}; {RESULTS} stays as it is")
    rows = [json.loads(file.read_text()) for file in files]
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
