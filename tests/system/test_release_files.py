"""What a release is made of: the same files in each build, byte for byte, all that it should have, and its SBOM."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from hashlib import sha256
from importlib.metadata import requires
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest

from scripts.sbom import make

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.cluster
# Of the repository alone.
NOT_IN_THE_SDIST = (".github/", ".pre-commit-config.yaml")
# What work leaves behind, in folders that are released.
LEFT = (
    "airflow_ddb_backup/__pycache__/a.pyc",
    "build/a",
    "dist/a",
    "docs/_build/a",
    "tests/.hypothesis/a",
    "notes.txt",
)


def build(folder: Path, umask: int, mtime: int) -> dict[str, str]:
    """Build the present commit in a new folder; return the digest of each file."""
    git = ["git", "archive", "--format=tar", "HEAD"]
    with tarfile.open(fileobj=BytesIO(subprocess.check_output(git, cwd=ROOT))) as archive:
        archive.extractall(folder, filter="data")
    for path in folder.rglob("*"):
        path.chmod(path.stat().st_mode & ~umask)
        os.utime(path, (mtime, mtime))
    variables = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "PYTHONHASHSEED": str(umask)}
    command = [sys.executable, "-m", "build", "--no-isolation"]
    subprocess.run(command, cwd=folder, env=variables, check=True, capture_output=True)
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in (folder / "dist").iterdir()}


def test_two_builds_are_the_same(tmp_path: Path) -> None:
    """Wherever and whenever they are made, and whoever may read the files."""
    first = build(tmp_path / "first", 0o022, 1_600_000_000)
    assert sorted(Path(name).suffix for name in first) == [".gz", ".whl"]
    assert build(tmp_path / "second" / "elsewhere", 0o077, 1_700_000_001) == first


def test_the_files_have_what_the_repository_has(tmp_path: Path) -> None:
    """Nothing is missing, and nothing that work leaves behind is in them."""
    for left in LEFT:
        (tmp_path / left).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / left).write_text("left")
    build(tmp_path, 0o022, 1_600_000_000)
    command = ["git", "ls-tree", "-r", "--name-only", "HEAD"]
    tracked = set(subprocess.check_output(command, cwd=ROOT, text=True).split())
    (sdist,), (wheel,) = (tmp_path / "dist").glob("*.gz"), (tmp_path / "dist").glob("*.whl")
    with tarfile.open(sdist) as archive:
        packed = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert packed - {"PKG-INFO"} == {name for name in tracked if not name.startswith(NOT_IN_THE_SDIST)}
    with ZipFile(wheel) as archive:
        installed = set(archive.namelist())
    metadata = {name for name in installed if ".dist-info/" in name}
    assert installed - metadata == {name for name in tracked if name.startswith("airflow_ddb_backup/")}
    told = {name.partition(".dist-info/")[2] for name in metadata}
    assert told == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}


def test_the_sbom_has_what_a_user_installs(tmp_path: Path) -> None:
    """In the versions of the constraints, and nothing of this machine."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    target = tmp_path / "sbom.json"
    make(wheel, tmp_path / "installed", target)
    bom = json.loads(target.read_text())
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().lower().split())
    found = {one["name"].lower().replace("_", "-"): one["version"] for one in bom["components"]}
    names = {re.split(r"[\[><=!~; ]", text)[0].lower() for text in requires("airflow-ddb-backup") or ()}
    assert names <= found.keys()
    assert {name: version for name, version in found.items() if pins.get(name, version) != version} == {}
    about = bom["metadata"]["component"]
    assert about["purl"] == f"pkg:pypi/airflow-ddb-backup@{about['version']}"
    assert str(tmp_path) not in target.read_text()
    assert "moto" not in found
