"""Real Airflow in processes of its own: unless said otherwise, the few that it needs, on SQLite."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.system.processes import Processes, Program, free_ports
from tests.system.rest_api import AIRFLOW_2, RestApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

EXAMPLE_DAGS = Path(__file__).parents[2] / "example_dags"
SYSTEM_DAGS = Path(__file__).parent / "dags"


def airflow_program(name: str, *command: str, **environment: str) -> Program:
    """Return a program of Airflow's own.

    :param name: what it is called here
    :param command: the arguments of ``airflow``; by default its name
    :param environment: more environment variables
    """
    return Program(name, [sys.executable, "-m", "airflow", *(command or [name])], environment)


# Airflow 2's scheduler parses DAG files itself.
_NAMES = ("scheduler", "triggerer") if AIRFLOW_2 else ("scheduler", "dag-processor", "triggerer")
STANDALONE = [airflow_program(name) for name in _NAMES]


class Airflow:
    """A running Airflow.

    :param home: its AIRFLOW_HOME
    :param environment: more environment variables, such as connections
    :param say: takes lines on the progress
    :param programs: what runs beside the web server; without any, no task can run
    :param dags: the folders with its DAGs
    """

    def __init__(
        self,
        home: Path,
        environment: dict[str, str],
        say: Callable[[str], None],
        programs: Sequence[Program] = STANDALONE,
        dags: Sequence[Path] = (EXAMPLE_DAGS,),
    ) -> None:
        self.say = say
        self._dags = dags
        port, worker_logs, trigger_logs = free_ports(3)
        self.url = f"http://127.0.0.1:{port}"
        where = ["--port", str(port), "--workers", "1"]
        server = ["webserver", "--hostname", "127.0.0.1"] if AIRFLOW_2 else ["api-server", "--host", "127.0.0.1"]
        self._programs = [airflow_program(server[0], *server, *where), *programs]
        self._runs_tasks = bool(programs)
        self.api = RestApi(self.url, say)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        logs = {
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_logs),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_logs),
        }
        self.processes = Processes(home, inherited | _settings(home, self.url) | logs | environment, say)

    @contextmanager
    def running(self) -> Iterator[Airflow]:
        """Start all processes, wait until they are healthy, and stop them at the end."""
        home, environment = self.processes.home, self.processes.environment
        (dags_folder := home / "dags").mkdir()
        for folder in self._dags:
            (dags_folder / folder.name).symlink_to(folder)
        self.say("creating the metadata database")
        # Whoever reaches this address is its administrator, as Airflow 3's simple auth manager has it.
        Path(home, "webserver_config.py").write_text('AUTH_ROLE_PUBLIC = "Admin"\n')
        migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
        subprocess.run(migrate, env=environment, cwd=home, check=True, capture_output=True)
        with self.api.http, self.processes.stopped_at_the_end():
            for program in self._programs:
                self.processes.start(program)
            wait = self.api.wait_until_healthy if self._runs_tasks else self.api.wait_until_served
            wait(self.processes.check_running)
            yield self


def _settings(home: Path, url: str) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(home),
        # Airflow 3.0 has none by default, which PyJWT no longer takes.
        "AIRFLOW__API_AUTH__JWT_ISSUER": "airflow",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
        "AIRFLOW__API__BASE_URL": url,
        # Only the DAG that is asked for runs: another's schedule would back up tables that nobody named.
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__WEBSERVER__SECRET_KEY": secrets.token_hex(32),
    }


@contextmanager
def airflow(
    environment: dict[str, str],
    say: Callable[[str], None],
    dags: Sequence[Path] = (EXAMPLE_DAGS,),
    programs: Sequence[Program] = STANDALONE,
) -> Iterator[Airflow]:
    """Run Airflow in a temporary home.

    :param environment: more environment variables, such as connections
    :param say: takes lines on the progress
    :param dags: the folders with its DAGs
    :param programs: what runs beside the web server
    """
    with (
        tempfile.TemporaryDirectory(prefix="airflow-ddb-backup-", ignore_cleanup_errors=True) as home,
        Airflow(Path(home), environment, say, programs, dags).running() as running,
    ):
        yield running
