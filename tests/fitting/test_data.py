"""Every structure of the shared data sets has finite features."""

import gzip
import os
import re
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import iread

from acepure import ACEBasis
from acepure.structures.gate import species_of

DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "data"
FOLDER = Path(os.environ.get("ACEPURE_DATA", DEFAULT))
FILES = sorted(FOLDER.glob("*/*.extxyz.gz"))


def frames(path):
    """Species, positions and cells of an extended XYZ file; ASE parses every column and takes ten times as long."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for first in lines:
            comment = next(lines)
            columns = re.search(r"Properties=(\S+)", comment)[1]
            assert columns.startswith("species:S:1:pos:R:3"), columns
            rows = [line.split(maxsplit=4)[:4] for line in islice(lines, int(first))]
            cell = re.search(r'Lattice="([^"]*)"', comment)
            yield Atoms(
                [row[0] for row in rows],
                [[float(x) for x in row[1:]] for row in rows],
                cell=np.array(cell[1].split(), dtype=float).reshape(3, 3) if cell else None,
                pbc=[flag == "T" for flag in re.search(r'pbc="([^"]*)"', comment)[1].split()],
            )


def test_data_sets_are_there():
    if "ACEPURE_DATA" in os.environ:
        assert FILES, f"ACEPURE_DATA names {FOLDER}, which holds no */*.extxyz.gz"
    elif not FILES:
        pytest.skip(f"no data sets in {FOLDER}; set ACEPURE_DATA to the folder that holds zuo2020/, inp/, ...")


@pytest.mark.parametrize("path", FILES, ids=[f"{path.parent.name}/{path.name.split('.')[0]}" for path in FILES])
def test_features_are_finite(path):
    """Every third structure: the others are much the same."""
    structures = list(frames(path))[::3]
    for ours, theirs in zip(structures, iread(path, ":9:3"), strict=False):
        assert str(ours.symbols) == str(theirs.symbols) and (ours.pbc == theirs.pbc).all()
        np.testing.assert_array_equal(ours.positions, theirs.positions)
        np.testing.assert_array_equal(ours.cell.array, theirs.cell.array)
    basis = ACEBasis(species_of(structures), order=3, totaldegree=[6, 5, 4])
    for k, features in enumerate(basis.descriptors(structures, progress=False)):
        atoms = structures[k]
        assert features.shape == (len(atoms), len(basis)), f"frame {k}"
        finite = np.isfinite(features).all(axis=1)
        assert finite.all(), f"frame {k}, atoms {np.flatnonzero(~finite)[:5]}"
        if len(atoms) == 1 and not atoms.pbc.any():
            assert not features.any(), f"frame {k}: an isolated atom has neighbors"
        elif atoms.pbc.all():
            assert features.any(axis=1).all(), f"frame {k}: an atom of a crystal without neighbors"
