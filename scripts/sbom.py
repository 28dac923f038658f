"""``make sbom``: what a user installs with the wheel in ``dist/``, as a CycloneDX SBOM in ``build/sbom.json``.

The wheel is installed into an environment of its own, with the versions of ``constraints.txt``: they are those that the
release was tested with, and no more than one set that a user may get.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from email.parser import HeaderParser
from pathlib import Path
from typing import Any
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]


def metadata_of(wheel: Path) -> dict[str, str]:
    """Return name and version of a wheel, as its metadata has them.

    :param wheel: the file
    """
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        found = HeaderParser().parsestr(archive.read(name).decode())
    return {"name": found["Name"], "version": found["Version"]}


def completed(bom: dict[str, Any], package: dict[str, str]) -> dict[str, Any]:
    """Return an SBOM that says what it is of: ``pyproject.toml`` does not have the version.

    :param bom: the SBOM
    :param package: name and version of the package
    """
    purl = f"pkg:pypi/{package['name']}@{package['version']}"
    about = {**bom["metadata"]["component"], **package, "type": "library", "purl": purl}
    return {**bom, "metadata": {**bom["metadata"], "component": about}}


def make(wheel: Path, installed: Path, target: Path) -> None:
    """Install a wheel, and write the SBOM.

    :param wheel: the file
    :param installed: the folder of its environment
    :param target: the SBOM's file
    """
    uv = Path(sys.executable).parent / "uv"
    shutil.rmtree(installed, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    pins = ["--constraints", str(ROOT / "constraints.txt")]
    alone = ["--isolated", "--python", sys.executable, *pins, "--from", "cyclonedx-bom"]
    listing = ["--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "--output-file", str(target)]
    commands: list[list[str | Path]] = [
        [uv, "venv", "--quiet", "--python", sys.executable, installed],
        [uv, "pip", "install", "--quiet", "--python", installed, *pins, wheel],
        [uv, "tool", "run", "--quiet", *alone, "cyclonedx-py", "environment", "--validate", *listing, installed],
    ]
    for command in commands:
        subprocess.run(command, check=True)  # noqa: S603  # our own
    bom = completed(json.loads(target.read_text(encoding="utf-8")), metadata_of(wheel))
    target.write_text(json.dumps(bom, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    (newest,) = (ROOT / "dist").glob("*.whl")
    make(newest, ROOT / "build" / "installed", ROOT / "build" / "sbom.json")
