"""Getting started, word by word: in a fresh environment, with the built wheel and an Airflow of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.reader import Reader, blocks

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "getting_started.rst"
INSTALLERS = ("pip", "uv")
TEN_MINUTES = 600.0
# Airflow's own constraints need GitHub; this project's hold the same Airflow, and are on this machine.
CONSTRAINTS = re.compile(r"https://raw\.githubusercontent\.com/apache/airflow/\S+?\.txt")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, as ``make wheel`` does."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--installer", "uv", "--outdir", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def clean_environment(home: Path) -> dict[str, str]:
    """Return what a shell on a new machine has, and where the packages of this one come from."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_", "REQUESTS_"))}
    # As in every checkout's Makefile.
    programs = [Path(sys.base_prefix, "bin"), Path(sys.executable).parent, Path("/usr/bin"), Path("/bin")]
    path = home / "bin"
    path.mkdir()
    for name in ("python3", "uv"):
        found = shutil.which(name, path=os.pathsep.join(map(str, programs)))
        assert found is not None
        (path / name).symlink_to(found)
    return {
        **kept,
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": f"{path}:/usr/bin:/bin",
        # What was downloaded once is not downloaded again.
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
    }


@pytest.fixture
def home(tmp_path: Path, wheel: Path) -> Path:
    """Return an empty home, with a checkout's ``dist``."""
    (tmp_path / "dist").mkdir()
    shutil.copy(wheel, tmp_path / "dist")
    return tmp_path


@pytest.mark.reader
@pytest.mark.timeout(2_400)
@pytest.mark.parametrize("installer", INSTALLERS)
def test_a_newcomer_is_done_in_ten_minutes(home: Path, installer: str) -> None:
    """Every output is as the page prints it; the time of the installer does not count."""
    (url,) = {url for block in blocks(PAGE) for url in CONSTRAINTS.findall(block.code)}
    reader = Reader(
        home,
        clean_environment(home),
        home / "airflow",
        tab=installer,
        instead={url: str(ROOT / "constraints.txt")},
    )
    reader.follow(PAGE)
    installing = sum(seconds for command, seconds in reader.seconds.items() if " install " in command)
    rest = sum(reader.seconds.values()) - installing
    print(f"{installer}: {installing:.0f} s, all else: {rest:.0f} s")  # noqa: T201  # what make readers shows
    assert rest < TEN_MINUTES
