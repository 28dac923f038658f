"""Several machines' worth of Airflow: two Celery workers and two triggerers, on PostgreSQL and Redis."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING

from tests.system.processes import Processes, Program, free_ports, wait_until
from tests.system.standalone import SYSTEM_DAGS, Airflow, airflow_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WORKERS = ("worker-1", "worker-2")
TRIGGERERS = ("triggerer-1", "triggerer-2")
POSTGRES = "postgres"
_TRIGGERER = ("triggerer", "--skip-serve-logs")
# PostgreSQL refuses to run as root; Debian's package makes this user.
_POSTGRES_USER = "postgres"
# Airflow takes a task for dead after 5 minutes without a heartbeat, for lost after 10 in the queue, and looks every 5
# after those of a scheduler that has ended. What the tests are about is that it does, not after how long. The
# heartbeats themselves come as often as ever.
_SOONER = {
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
}


# Each task is a fork of its worker: what the worker has imported, hundreds of tasks need not.
_WARM_AIRFLOW = "import airflow_ddb_backup.operators.dynamodb; from airflow.__main__ import main; main()"


# By the Debian package that brings them. Debian keeps PostgreSQL's off the PATH.
_PROGRAMS = {
    "initdb": "postgresql",
    "postgres": "postgresql",
    "pg_isready": "postgresql",
    "redis-server": "redis-server",
}
_PLACES = [os.environ.get("PATH", ""), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))]
_PATHS = {name: shutil.which(name, path=os.pathsep.join(_PLACES)) or "" for name in _PROGRAMS}


def missing_programs() -> str:
    """Say which programs are not on this machine, and how to install them; nothing if all are."""
    missing = [name for name, path in _PATHS.items() if not path]
    if not missing:
        return ""
    packages = dict.fromkeys(_PROGRAMS[name] for name in missing)
    return f"not on this machine: {', '.join(missing)}. Install them: apt-get install {' '.join(packages)}"


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    :param airflow: Airflow itself
    :param services: PostgreSQL and Redis
    """

    airflow: Airflow
    services: Processes

    def start_again(self) -> bool:
        """Start what has ended, as the machine's own supervisor would."""
        self.services.start_again()
        self.airflow.processes.start_again()
        return True


@contextmanager
def cluster(
    environment: dict[str, str], say: Callable[[str], None], dags: Sequence[Path] = (SYSTEM_DAGS,)
) -> Iterator[Cluster]:
    """Run a cluster in a temporary home.

    :param environment: more environment variables, such as connections
    :param say: takes lines on the progress
    :param dags: the folders with its DAGs
    """
    with tempfile.TemporaryDirectory(prefix="airflow-ddb-backup-", ignore_cleanup_errors=True) as temporary:
        home = Path(temporary)
        database, broker = free_ports(2)
        services = Processes(home, dict(os.environ), say)
        settings = _settings(database, broker) | environment
        airflow = Airflow(home, settings, say, _programs(home), dags)
        with services.stopped_at_the_end():
            services.start(_redis(broker))
            services.start(_postgres(home, database))
            wait_until("PostgreSQL", _accepts_connections(home, database))
            with airflow.running():
                yield Cluster(airflow, services)


def _settings(database: int, broker: int) -> dict[str, str]:
    address = f"airflow@127.0.0.1:{database}/postgres"
    return _SOONER | {
        "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{broker}/0",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://{address}",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "600",
        # Twice what the workers run at once: a task that waits in their queue for a minute passes for lost.
        "AIRFLOW__CORE__PARALLELISM": "16",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{address}",
    }


def without_full_collections(triggerer: str) -> Program:
    """Return a triggerer that never collects all garbage.

    That stops its loop for as long as what Airflow has loaded takes, 0.2 to 1 s here, whatever its triggers do.
    """
    code = "import gc; gc.set_threshold(700, 10, 10**9); from airflow.__main__ import main; main()"
    return Program(triggerer, [sys.executable, "-c", code, *_TRIGGERER])


def _programs(home: Path) -> list[Program]:
    triggerers = [airflow_program(name, *_TRIGGERER) for name in TRIGGERERS]
    return [
        airflow_program("scheduler"),
        airflow_program("dag-processor"),
        *triggerers,
        *(_worker(home, name) for name in WORKERS),
    ]


def _worker(home: Path, name: str) -> Program:
    options = ["--skip-serve-logs", "--concurrency", "4", "--celery-hostname", name, "--pid", str(home / f"{name}.pid")]
    # Where workers have machines of their own, their tasks don't keep a triggerer's loop waiting for a processor.
    return Program(name, ["nice", sys.executable, "-c", _WARM_AIRFLOW, "celery", "worker", *options])


def _redis(port: int) -> Program:
    command = [_PATHS["redis-server"], "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    return Program("redis", command)


def _postgres(home: Path, port: int) -> Program:
    data = home / POSTGRES
    data.mkdir()
    user = None
    if os.geteuid() == 0:
        user = _POSTGRES_USER
        shutil.chown(data, user)
        # It must reach its directory.
        home.chmod(0o711)
    create = [_PATHS["initdb"], "--auth=trust", "--username=airflow", "--no-sync", str(data)]
    subprocess.run(create, check=True, capture_output=True, user=user, cwd=data)
    # What a crash of the machine would lose is none of these tests' business.
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": data,
        "max_connections": 300,
        "fsync": "off",
    }
    options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
    command = [_PATHS["postgres"], "-D", str(data), "-p", str(port), *options]
    # SIGINT is its "fast shutdown": it does not wait for those who are connected.
    return Program(POSTGRES, command, user=user, stop_signal=SIGINT)


def _accepts_connections(home: Path, port: int) -> Callable[[], bool]:
    ready = [_PATHS["pg_isready"], "-h", "127.0.0.1", "-p", str(port)]
    return lambda: subprocess.run(ready, check=False, capture_output=True, cwd=home).returncode == 0
