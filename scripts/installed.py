"""``make installed``: what is in ``dist/``, installed as a user does, beside the oldest and the newest Airflow.

The wheel and the sdist get an environment each, with nothing in it but what they ask for. There the public modules are
imported, Airflow lists the provider, and runs a DAG that backs a table of the simulated control plane up, on the worker
and the trigger, and deletes the backup.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from noxfile import LOWEST, MATRIX, OLDER, PUBLIC
from tests.simulator.control_plane import ControlPlane

ROOT = Path(__file__).parents[1]
NAME = "airflow-ddb-backup"
VERSIONS = [airflow for airflow in MATRIX if airflow != LOWEST]
MODULES = ["exceptions", "models", "coverage.plugin", *(f"{kind}.dynamodb" for kind in PUBLIC)]
DAG_ID = "example_dynamodb_backup_temporary"
# It prints the version, and where the package is.
IMPORT = "import sys, airflow_ddb_backup as it, {}; sys.stdout.write(f'{{it.__version__}} {{it.__file__}}')"


class Environment:
    """A virtual environment, and an Airflow of its own in it.

    :param folder: where it is made
    :param plane: the control plane that its DAG calls
    """

    def __init__(self, folder: Path, plane: ControlPlane) -> None:
        self._bin = folder / "venv" / "bin"
        self._home = folder / "home"
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHONPATH"))
        }
        self._variables = {
            **inherited,
            "AIRFLOW_HOME": str(self._home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            # The trigger needs what nothing else does.
            "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "True",
            "AIRFLOW_CONN_AWS_DEFAULT": plane.connection(),
            "PYTHONWARNINGS": "ignore",
        }

    def install(self, file: Path, airflow: str, python: str) -> None:
        """Install a file, and an Airflow beside it.

        :param file: the wheel or the sdist
        :param airflow: such as ``3.3``
        :param python: such as ``3.13``
        """
        uv: list[str | Path] = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--python", python, self._bin.parent], check=True)  # noqa: S603  # our own
        wanted = [f"apache-airflow=={airflow}.*", *OLDER.get(airflow, ())]
        command = [*uv, "pip", "install", "--quiet", "--python", self._bin.parent, file, *wanted]
        subprocess.run(command, check=True)  # noqa: S603  # our own
        (self._home / "dags").mkdir(parents=True)
        example = (ROOT / "example_dags" / f"{DAG_ID}.py").read_text(encoding="utf-8")
        # What fails is told at once.
        at_once = example.replace('"retries": 3', '"retries": 0')
        (self._home / "dags" / f"{DAG_ID}.py").write_text(at_once, encoding="utf-8")

    def run(self, *command: str) -> str:
        """Run a program of the environment, away from the checkout; return what it prints."""
        done = subprocess.run(  # noqa: S603  # our own
            [self._bin / command[0], *command[1:]],
            cwd=self._home,
            env=self._variables,
            capture_output=True,
            text=True,
            check=False,
            # Airflow's "dags test" never ends if a trigger can't be imported.
            timeout=300,
        )
        if done.returncode:
            sys.exit(f"{done.stdout}{done.stderr}\n{' '.join(command)} has failed")
        return done.stdout

    def airflow_json(self, *command: str) -> Any:
        """Run a command of Airflow that prints JSON, after whatever it logs."""
        printed = self.run("airflow", *command, "--output", "json")
        return json.loads(printed[printed.index("[{") :])


def must(fact: object, otherwise: str) -> None:
    """End with a sentence unless something is so."""
    if not fact:
        sys.exit(otherwise)


def check(file: Path, airflow: str, python: str) -> None:
    """Install one file, and use it."""
    with tempfile.TemporaryDirectory(prefix="installed-") as temporary, ControlPlane().serve() as plane:
        folder = Path(temporary).resolve()
        plane.create_table("carts")
        plane.creating_for = 5
        environment = Environment(folder, plane)
        environment.install(file, airflow, python)
        imports = ", ".join(f"airflow_ddb_backup.{module}" for module in MODULES)
        version, where = environment.run("python", "-c", IMPORT.format(imports)).split("\n")[-1].split(" ", 1)
        must(version in file.name and Path(where).is_relative_to(folder), f"{version} was imported from {where}")
        environment.run("airflow", "db", "migrate")
        listed = {one["package_name"]: one["version"] for one in environment.airflow_json("providers", "list")}
        must(listed.get(NAME) == version, f"Airflow lists {listed.get(NAME)}, not {version}")
        (told,) = environment.airflow_json("providers", "get", NAME)
        must(told["Version"] == version, f"Airflow tells {told}")
        environment.run("airflow", "dags", "test", DAG_ID)
        made = {operation: plane.calls[operation] for operation in ("CreateBackup", "DeleteBackup")}
        must(made == {"CreateBackup": 1, "DeleteBackup": 1}, f"the DAG has made other calls: {made}")
    sys.stdout.write(f"{file.name}: installed and used on Airflow {airflow}, Python {python}\n")


if __name__ == "__main__":
    files = sorted((ROOT / "dist").iterdir())
    must([one.suffix for one in files] == [".whl", ".gz"], "dist/ has not one wheel and one sdist: make release-files")
    for oldest_or_newest, place in ((VERSIONS[0], 0), (VERSIONS[-1], -1)):
        for built in files:
            check(built, oldest_or_newest, MATRIX[oldest_or_newest][place])
