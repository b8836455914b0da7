"""An independent code: featomic's equivariant power spectrum spans the same functions of two neighbor sums."""

import numpy as np
import pytest

from acepure.algebra.symmetrization import symmetrization
from acepure.labels.factors import Factor

featomic = pytest.importorskip("featomic")
N_MAX, L_MAX = 2, 2


def calculators():
    from featomic.clebsch_gordan import EquivariantPowerSpectrum

    expansion = featomic.SphericalExpansion(
        cutoff={"radius": 4.0, "smoothing": {"type": "ShiftedCosine", "width": 0.5}},
        density={"type": "Gaussian", "width": 0.3},
        basis={"type": "TensorProduct", "max_angular": L_MAX, "radial": {"type": "Gto", "max_radial": N_MAX - 1}},
    )
    return expansion, EquivariantPowerSpectrum(expansion)


def clusters(n=12):
    from ase import Atoms

    rng = np.random.default_rng(0)
    return [Atoms("Cu4", 1.3 * rng.normal(size=(4, 3))) for _ in range(n)]


@pytest.mark.parametrize("L, sigma", [(0, 1), (1, 1), (2, 1), (3, 1), (1, -1), (2, -1)])
def test_equal_spans(L, sigma):
    expansion, spectrum = calculators()
    structures = clusters()
    sums = {int(key["o3_lambda"]): block.values for key, block in expansion.compute(structures).items()}
    found = spectrum.compute(structures)
    theirs = found.block({"o3_lambda": L, "o3_sigma": sigma}).values  # (n, 2L + 1, columns)
    factors = [Factor(l, 0, q) for l in range(L_MAX + 1) for q in range(N_MAX)]
    blocks = [(a, b) for k, a in enumerate(factors) for b in factors[k:]]
    C, products, _ = symmetrization(blocks, L, sigma * (-1) ** L)
    A = np.stack([sums[v.l][:, v.l + v.m, v.q] for v in products.one_particle], axis=1)
    AA = np.concatenate([A[:, run].prod(axis=2) for run in products.factors], axis=1)
    ours = (C @ AA.T).T.reshape(len(A), -1, 2 * L + 1)
    rows = np.swapaxes(ours, 1, 2).reshape(-1, ours.shape[1])
    others = theirs.reshape(-1, theirs.shape[2])
    assert len(rows) > 1.5 * rows.shape[1]
    rank = np.linalg.matrix_rank(others, tol=1e-10 * np.linalg.norm(others, 2))
    assert rank == rows.shape[1] == np.linalg.matrix_rank(rows)
    scales = np.linalg.norm(rows, axis=0)
    residual = others - rows / scales @ np.linalg.lstsq(rows / scales, others, rcond=None)[0]
    np.testing.assert_allclose(residual, 0, atol=1e-11 * abs(others).max())
