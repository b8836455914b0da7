"""Features do not depend on threads, on parts of tables, nor, but for rounding, on instruction sets."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ase.io import write
from cases.descriptors import BASIS, RADIAL, ROUND_OFF, SPECIES, cluster, large_structure, scales_of
from cases.radial import Gaussians

import acepure.stages.fused
from acepure import ACEBasis
from acepure._kernels import cpu


@pytest.mark.parametrize("name", ["default", "orthonormal, operators differ by center", "own functions"])
def test_threads_do_not_change_a_bit(name):
    basis = ACEBasis(SPECIES, radial=RADIAL[name][0], totaldegree=[3, 3, 3])
    atoms = large_structure()
    one = basis.descriptors(atoms, num_threads=1)
    for threads in (2, 3, 7):
        np.testing.assert_array_equal(basis.descriptors(atoms, num_threads=threads), one)


def test_number_of_threads_from_the_environment(monkeypatch):
    basis, atoms = ACEBasis(SPECIES, order=2), cluster(1)
    expected = basis.descriptors(atoms, num_threads=1)
    for value in ("1", "3"):
        monkeypatch.setenv("ACEPURE_NUM_THREADS", value)
        np.testing.assert_array_equal(basis.descriptors(atoms), expected)
    for value in ("0", "many", "-2"):
        monkeypatch.setenv("ACEPURE_NUM_THREADS", value)
        with pytest.raises(ValueError, match=f"ACEPURE_NUM_THREADS must be a positive integer; got '{value}'"):
            basis.descriptors(atoms)
    monkeypatch.delenv("ACEPURE_NUM_THREADS")
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
    np.testing.assert_array_equal(basis.descriptors(atoms), expected)


def test_concurrent_calls():
    """A fresh basis, first used from many threads at once."""
    many = [cluster(seed, n_atoms=6 + seed % 5) for seed in range(12)] + [large_structure()]
    expected = [BASIS.descriptors(atoms, num_threads=1) for atoms in many]
    fresh = ACEBasis.from_dict(BASIS.to_dict())
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda atoms: fresh.descriptors(atoms, num_threads=2), many * 4))
    for result, wanted in zip(results, expected * 4, strict=True):
        np.testing.assert_array_equal(result, wanted)


def test_users_functions_are_tabulated_in_parts(monkeypatch):
    basis = ACEBasis(SPECIES, radial=Gaussians(), totaldegree=[2, 2, 2])
    atoms = large_structure()
    expected = basis.descriptors(atoms)
    for pairs in (1, 500):
        monkeypatch.setattr(acepure.stages.fused, "_PAIRS_PER_TABLE", pairs)
        np.testing.assert_array_equal(basis.descriptors(atoms), expected)


VARIANT_SCRIPT = """
import sys
import numpy as np
from acepure import ACEBasis
from acepure._kernels import variant
from ase.io import read

atoms = read(sys.argv[1])
features = [ACEBasis(["Cu", "Zr"], totaldegree=[4, 4, 4, 2], canonical=c).descriptors(atoms) for c in (True, False)]
np.savez(sys.argv[2], variant=variant, canonical=features[0], plain=features[1])
"""


def run_variant(name, *arguments):
    environment = {**os.environ, "ACEPURE_SIMD": name}
    command = [sys.executable, "-c", VARIANT_SCRIPT, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_instruction_sets_agree(tmp_path):
    atoms = cluster(8, n_atoms=21, size=6.0)
    write(tmp_path / "atoms.json", atoms)
    scale = scales_of(BASIS, atoms)
    results = {}
    for name in cpu.instruction_sets():
        run = run_variant(name, tmp_path / "atoms.json", tmp_path / f"{name}.npz")
        if run.returncode and f"evaluator_{name}" in run.stderr and name != "baseline":
            continue  # this build has no such variant
        assert run.returncode == 0, run.stderr
        results[name] = np.load(tmp_path / f"{name}.npz")
        assert results[name]["variant"] == name
    for name, result in results.items():
        for key in ("canonical", "plain"):
            assert (abs(result[key] - results["baseline"][key]) <= ROUND_OFF * scale).all(), name


def test_unknown_instruction_set(tmp_path):
    run = run_variant("mmx", tmp_path, tmp_path)
    assert run.returncode and "ACEPURE_SIMD='mmx', but this processor has" in run.stderr
