"""`acepure hal`: hyperactive learning from a run file, and its state."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import acepure
from acepure._utils.files import atomic_write
from acepure.active import HAL, status
from acepure.active.reference import command_reference
from acepure.cli.explore import write_page
from acepure.cli.options import add_number, add_switch, add_threads
from acepure.cli.parts import check_outputs, load, read
from acepure.cli.run_file import read_run_file
from acepure.features.basis import ACEBasis
from acepure.fitting.labels import text_table

_EPILOG = """\
examples:
  acepure hal run.toml
  acepure hal run.toml --dry-run
  acepure hal run.toml -n 5
  acepure hal status CuAu
  acepure hal status CuAu --report CuAu.html

run.toml, with paths from its folder; a run file names programs that are run, so take none from strangers:

  folder = "CuAu"                     # default: the name of the run file
  starts = ["starts.extxyz"]          # with labels, or labeled first
  tests = ["tests.extxyz"]            # with labels; optional
  n_max = 50

  [basis]                             # arguments of ACEBasis
  species = ["Cu", "Au"]
  rcut = 5.0
  order = 3
  n_functions = 300

  [reference]                         # one of calculator, command, wait
  calculator = "ase.calculators.emt:EMT"
  arguments = {}
  # command = "python label.py {input} {output}"
  # wait = true                       # labels are put into the folder by hand

  [dynamics]                          # of acepure.active.Dynamics
  temperature = [300, 1000]
  tolerance = 0.2

  [E0s]                               # eV; or E0s = "isolated" above, the default
  Cu = 3.51
  Au = 3.80

  [fit]                               # weights, prior, core
  core = "zbl"

A run goes on where its folder stops, also after it was killed.
"""

_KEYS: Mapping[str, Any] = {
    "folder": str,
    "starts": (str, list),
    "tests": (str, list),
    "n_max": int,
    "patience": int,
    "seed": int,
    "largest_force": (int, float),
    "basis": Mapping,
    "reference": Mapping,
    "dynamics": Mapping,
    "E0s": (str, Mapping),
    "fit": Mapping,
}


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "hal",
        _run,
        help="let a potential find structures to compute",
        description="Hyperactive learning: dynamics of a potential, labeled where it is not sure, and fitted anew.",
        epilog=_EPILOG,
    )
    command.add_argument("what", nargs="+", metavar="RUN.toml", help="a run file; or: status FOLDER")
    add_number(command, "-n", "at most so many labels more")
    add_switch(command, "--dry-run", "one trajectory from each start, without reference calculations")
    command.add_argument(
        "--report", metavar="HTML", help="write figures and text as one page; with chemiscope another one, .map.html"
    )
    add_threads(command)


def _run(arguments: argparse.Namespace) -> None:
    if arguments.report is not None:
        check_outputs({"--report": arguments.report})
    if arguments.what[0] == "status" and len(arguments.what) == 2:
        folder = arguments.what[1]
        print(status(folder))
    elif len(arguments.what) == 1:
        run = _from_file(arguments.what[0], arguments.threads)
        if arguments.dry_run:
            rows = [["start", "criterion", "time (ps)", "ends by"]]
            for k, found in enumerate(run.preview()):
                rows.append([str(k), f"{found['criterion']:.2g}", f"{found['time_ps']:.3g}", found["reason"]])
            print(text_table(rows))
            return
        folder = str(run.folder.path)
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
        log = logging.getLogger("acepure.active")
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        try:
            model = run.run(arguments.n)
        finally:
            log.removeHandler(handler)
        print(f"\n{status(folder)}\n")
        print(f"wrote   {run.folder.path / 'model.ace'}" if model is not None else "labels are waited for")
    else:
        raise ValueError(f"one run file, or status and a folder, are needed; got {' '.join(arguments.what)}")
    if arguments.report is not None:
        from acepure.plotting.active import hal_page  # figures are only loaded where they are asked for

        page = hal_page(folder, status(folder), f"acepure {acepure.__version__}")
        with atomic_write(arguments.report) as written:
            written.write_text(page, encoding="utf-8")
        print(f"wrote   {arguments.report}")
        _write_map(folder, f"{os.path.splitext(arguments.report)[0]}.map.html")


def _write_map(folder: str, output: str) -> None:
    """Write a page with a map of the labeled structures, if there is a potential and chemiscope is installed."""
    model, names = Path(folder) / "model.ace", sorted((Path(folder) / "labels").glob("*.extxyz"))
    if model.exists() and names and find_spec("chemiscope") is not None:
        structures = [atoms for name in names for atoms in read(str(name), ":")]
        write_page(structures, output, load(str(model)), [folder])


def _from_file(name: str, num_threads: int | None) -> HAL:
    values, base = read_run_file(name), Path(name).resolve().parent
    unknown = [key for key in values if key not in _KEYS]
    if unknown:
        raise ValueError(f"{name}: {', '.join(unknown)} is unknown; a run file has {', '.join(_KEYS)}")
    for key, value in values.items():
        if not isinstance(value, _KEYS[key]) or isinstance(value, bool):
            raise TypeError(f"{name}: {key} is {value!r}, which is no {_kinds(_KEYS[key])}")
    missing = [key for key in ("starts", "basis", "reference") if key not in values]
    if missing:
        raise ValueError(f"{name}: {', '.join(missing)} is missing")
    calculator, described = _reference(name, values["reference"])
    given: dict[str, Any] = {
        key: values[key] for key in ("n_max", "patience", "seed", "largest_force", "E0s", "fit") if key in values
    }
    if "tests" in values:
        given["tests"] = _structures(values["tests"], base)
    return HAL(
        base / values.get("folder", Path(name).stem),
        ACEBasis(**values["basis"]),
        calculator,
        _structures(values["starts"], base),
        reference=described,
        num_threads=num_threads,
        **given,
        **values.get("dynamics", {}),
    )


def _kinds(kinds: Any) -> str:
    words = {str: "text", list: "list", int: "integer", float: "number", Mapping: "table"}
    return " or ".join(words[kind] for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))


def _structures(names: str | list[str], base: Path) -> list[Any]:
    return [atoms for file in ([names] if isinstance(names, str) else names) for atoms in read(str(base / file), ":")]


def _reference(name: str, table: Mapping[str, Any]) -> tuple[Any, str]:
    """What labels come from, and how the folder remembers it."""
    given = {key for key in table if key != "arguments"}
    if len(given) != 1 or not given <= {"calculator", "command", "wait"}:
        raise ValueError(f"{name}: [reference] must have one of calculator, command and wait; got {', '.join(table)}")
    if "wait" in table:
        return None, "wait"
    if "command" in table:
        return command_reference(str(table["command"])), f"command {table['command']}"
    module, _, cls = str(table["calculator"]).partition(":")
    arguments = dict(table.get("arguments", {}))
    try:
        made = getattr(importlib.import_module(module), cls)(**arguments)
    except (ImportError, AttributeError, TypeError) as error:
        raise ValueError(
            f'{name}: no calculator from {table["calculator"]!r}, which must be "module:Class": {error}'
        ) from error
    return made, f"{module}:{cls} {json.dumps(arguments, sort_keys=True)}"
