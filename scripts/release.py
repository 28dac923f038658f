"""``make release-files``: check that tag, version and changelog say the same. Building is the Makefile's part."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def problems(version: str, tag: str, changelog: str, changed: str) -> list[str]:
    """Say what stands against a release.

    :param version: the package's
    :param tag: the tag of the commit, empty if it has none
    :param changelog: the whole text
    :param changed: what git says has changed and is not committed
    """
    newest = re.search(r"^(.+)\n-{4,}$", changelog, re.MULTILINE)
    heading = newest.group(1) if newest else ""
    found = []
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", version):
        found.append(f"the version {version!r} is none to release")
    if tag != f"v{version}":
        found.append(f"the commit's tag is {tag or 'missing'}, and the version asks for v{version}")
    if not re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", heading):
        found.append(f"the changelog begins with {heading!r}, not with '{version} (YYYY-MM-DD)'")
    if changed:
        found.append(f"these files are not committed:\n{changed}")
    return found


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603, S607  # our own
    return done.stdout.strip()


def main() -> int:
    """Check, and say what is wrong."""
    init = (ROOT / "airflow_ddb_backup" / "__init__.py").read_text(encoding="utf-8")
    version = re.findall(r'^__version__ = "(.+)"$', init, re.MULTILINE)[0]
    tag = _git("describe", "--exact-match", "--tags", "HEAD")
    changelog = (ROOT / "CHANGELOG.rst").read_text(encoding="utf-8")
    found = problems(version, tag, changelog, _git("status", "--porcelain"))
    for problem in found:
        sys.stderr.write(f"no release: {problem}\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
