"""Installs acepure with the oldest versions that pyproject.toml allows, and runs its tests on them.

    python3.10 tools/minimum_versions.py [arguments of pytest]       in a new virtual environment, removed afterwards
    python3.10 tools/minimum_versions.py --list                      only prints the requirements

The minima are read from pyproject.toml, each `name>=version` becoming `name==version`, so the two cannot drift apart:
those of the package, of scikit-learn and of the test tools. Other extras (LAMMPS, Dask, stores) are left out, and their
tests skip. Run it with the oldest Python that `requires-python` names; the package is built from its sdist. Warnings of
old libraries about newer Pythons, and files that they leave open, are shown but are no errors here.
"""

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("test", "sklearn")
#: What an oldest version needs besides: it was released before its partner warned about how it is called.
PARTNERS = ["pyparsing<3.3"]  # matplotlib 3.8
WARNINGS = ["DeprecationWarning", "ResourceWarning"]


def quoted(text: str) -> list[str]:
    """Strings of a TOML list, whose comments hold no quotes (tomllib is not in Python 3.10)."""
    return re.findall(r'"([^"]+)"', text)


def minima(pyproject: str) -> dict[str, str]:
    """Name and least version of each dependency and of the extras that the tests use."""
    requirements = quoted(re.search(r"^dependencies = \[(.*?)^\]", pyproject, re.S | re.M)[1])
    for extra in EXTRAS:
        requirements += quoted(re.search(rf"^{extra} = \[(.*?)\]", pyproject, re.S | re.M)[1])
    requirements = [text for text in requirements if not text.startswith("acepure[")]  # other extras of this package
    found = [re.fullmatch(r"([A-Za-z0-9_.-]+)>=([0-9.]+)", requirement) for requirement in requirements]
    unread = [requirement for requirement, match in zip(requirements, found) if not match]
    if unread:
        raise SystemExit(f"minimum_versions: not of the form name>=version: {', '.join(unread)}")
    return {match[1]: match[2] for match in found}


def oldest_python(pyproject: str) -> tuple[int, int]:
    """The version that requires-python names."""
    major, minor = re.search(r'^requires-python = ">=(\d+)\.(\d+)"', pyproject, re.M).groups()
    return int(major), int(minor)


def main(arguments: list[str]) -> int:
    """Install, print what was installed, test."""
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pins = [f"{name}=={version}" for name, version in minima(pyproject).items()]
    if arguments == ["--list"]:
        print("\n".join(pins))
        return 0
    if sys.version_info[:2] != oldest_python(pyproject):
        print(f"note: Python {sys.version_info[0]}.{sys.version_info[1]} is not the oldest that is supported")
    with tempfile.TemporaryDirectory() as folder:
        environment, sdist = Path(folder) / "environment", Path(folder) / "sdist"
        venv.create(environment, with_pip=True)
        python = environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--upgrade", "pip", "build"], check=True)
        subprocess.run(
            [python, "-m", "build", "--sdist", "--outdir", sdist, ROOT], check=True, stdout=subprocess.DEVNULL
        )
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", *sdist.glob("*.tar.gz"), *pins, *PARTNERS], check=True
        )
        subprocess.run([python, "-m", "pip", "list"], check=True)
        calm = [word for name in WARNINGS for word in ("-W", f"default::{name}")]
        with tarfile.open(next(sdist.glob("*.tar.gz"))) as archive:  # its tests, beside no source tree
            archive.extractall(folder)
        tests = next(Path(folder).glob("acepure-*"))
        shutil.rmtree(tests / "acepure")
        command = [python, "-m", "pytest", "-q", "tests", *calm, "-p", "no:cacheprovider", *arguments]
        return subprocess.run(command, cwd=tests).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
