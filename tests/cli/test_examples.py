"""Examples that `--help` shows: all are understood, and those that take seconds run, in the order of a first day."""

import argparse
import re
import shlex

import pytest
from cases.command_line import run

from acepure.cli import _parser

#: Before others, whose examples take their files.
FIRST = ["data", "relax", "md"]
#: Left to tests of their own: they fit, take minutes, start other programs or need run files.
NOT_RUN = {"fit", "hal", "lammps", "demo", "conditioning", "explore", "descriptors"}


def examples():
    """Command → its examples, as words after `acepure`."""
    commands = next(action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction))
    found = {}
    for name, command in commands.choices.items():
        text = re.search(r"^examples:\n((?:  .*\n)*)", command.epilog or "", re.MULTILINE)
        lines = text[1].splitlines() if text else []
        found[name] = [shlex.split(line)[1:] for line in lines if line.startswith("  acepure ")]
    return found


@pytest.mark.parametrize("words", [words for lines in examples().values() for words in lines], ids=" ".join)
def test_examples_are_understood(words):
    _parser().parse_args(words)


def test_examples_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACEPURE_NUM_THREADS", "1")
    found = examples()
    for name in [*FIRST, *(name for name in found if name not in {*FIRST, *NOT_RUN})]:
        for words in found[name]:
            code, _, err = run(" ".join(words), capsys)
            assert code == 0, f"acepure {' '.join(words)}: {err}"
    assert {"train.extxyz", "relaxed.extxyz", "run.extxyz"} <= {path.name for path in tmp_path.iterdir()}
