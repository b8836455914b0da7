"""Fits with thousands of unknowns: normal equations in tiles, λ by structures left out, corrections from the data.

For weighted rows X, labels y and columns scaled to length one, x_k = X_k d_k, θ = d u,

    (G + λ) u = dXᵀy,      G = (d XᵀX d),      f(u) = |X θ − y|² + λ |u|².

Columns that are zero in all structures, or equal to another one, are left out. G costs n² products per row where a QR
factor takes 2 n², runs at the speed of matrix products on all cores, and every λ takes seconds; but it has lost the
digits of directions below 1e-16 of the largest. So the gradient of f is computed from the structures themselves, at a
few times the cost of features, as g = Σ_i (c_i B(i) − Ḃ(i)) with Ḃ along the errors of the forces: with
r = d g − λ u the correction (G + λ)⁻¹ r is made, and f exceeds its least value by r (G + λ)⁻¹ r, which is what is
measured and said. Where it stays above a hundredth of f, or G + λ is not positive, the same problem is solved by a QR
factorization of all rows, which loses no digits: twice as many products, on one core, and half as much memory again.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from acepure._utils.memory import physical_memory
from acepure._utils.tall_qr import RFactor
from acepure._utils.threads import resolve_num_threads
from acepure._utils.tiled import TiledMatrix
from acepure._utils.workers import batched, kernel_threads, naming_structure, ordered_map, structure_bar
from acepure.errors import LargeBasisWarning
from acepure.features.basis import ACEBasis
from acepure.features.linear import LinearFunction, features_of_isolated_atoms
from acepure.fitting.design import Design
from acepure.fitting.labeled import LabeledData, LabeledSet
from acepure.fitting.labels import LabeledStructure
from acepure.fitting.occupancy import can_be_nonzero
from acepure.fitting.recipe_triangles import interleaved_folds
from acepure.models.posterior import FactoredPosterior

_log = logging.getLogger(__name__)

#: Coefficients above which these equations are the default: a singular value decomposition takes minutes then.
LARGEST = 4000

#: λ in units of the mean eigenvalue times the number of unknowns; tried from the largest on, while errors fall.
ALPHAS = tuple(10.0 ** -np.arange(8.0, 19.0))
# One of so many structures of each group is left out to choose λ, at most as many rows as unknowns.
_ONE_OF = 10
_ROWS = 768
# Columns shorter than this part of the longest are rounding.
_ZERO = 1e-13
# Columns are the same when their cosine is within this of one.
_SAME = 1e-13
# Parts of f by which it may exceed its least value: corrected above the first, given up above the second.
_EXCESS, _UNTRUSTED = 1e-3, 1e-2
_CORRECTIONS = 6
# Of physical memory for the two matrices, before they go to a file.
_SHARE = 0.6
# Bytes of a posterior above which its size is said.
_ANNOUNCED = 2**27


@dataclass(frozen=True, eq=False)
class NormalSolution:
    """What was found.

    Attributes
    ----------
    coefficients : numpy.ndarray, shape (n_species, n_features)
    posterior : FactoredPosterior, or None
        S, unless the triangle is in a file.
    noise : float
    n_rows : int
    summary : list of str
    """

    coefficients: np.ndarray
    posterior: FactoredPosterior | None
    noise: float
    n_rows: int
    summary: list[str]


def is_large(basis: ACEBasis) -> bool:
    """Whether a fit to this basis is for these equations."""
    n_coefficients = len(basis.species) * len(basis)
    return n_coefficients > LARGEST and basis.reference is None


def solve_normal_equations(
    design: Design,
    labeled: LabeledSet,
    *,
    alpha: float | None = None,
    workers: Any = 1,
    num_threads: int | None = None,
    progress: bool | None = None,
) -> NormalSolution:
    """Fit the coefficients of a basis whose features are zero at an isolated atom.

    Parameters
    ----------
    design : Design
    labeled : LabeledSet
    alpha : float, optional
        λ relative to the number of unknowns; default: the best for structures that are left out, a tenth of each group.
    workers, num_threads, progress
        As in `fit_coefficients`.

    Raises
    ------
    ValueError
        For a basis with constants at isolated atoms, as centered ones have.
    numpy.linalg.LinAlgError
        If G + λ is not positive, and memory is short for a QR factorization of the rows.

    Warns
    -----
    LargeBasisWarning
        If digits that were lost matter, and memory is short for a QR factorization.
    """
    if features_of_isolated_atoms(design.basis).any():
        raise ValueError('solver "cholesky" needs features that are zero at isolated atoms; take reference=None')
    if alpha is None and len(labeled) < 2:
        raise ValueError('solver "cholesky" leaves out structures to choose alpha; give alpha for one structure')
    possible = can_be_nonzero(design.basis, (item.atoms for item in labeled))
    n = int(possible.sum())
    with _room(n) as folder:
        fit = _Fit(design, possible, folder, resolve_num_threads(num_threads))
        run = partial(fit.rows_of, labeled, workers=workers, num_threads=num_threads, progress=progress)
        return _solved(fit, labeled, run, alpha, progress)


def held_out_score(
    design: Design,
    labeled: LabeledSet,
    *,
    thinning: int = 1,
    workers: Any = 1,
    num_threads: int | None = None,
    progress: bool | None = None,
) -> tuple[float, int]:
    """Return the mean logarithm of root mean square errors of energies, forces and virials on structures left out.

    And how many columns there were. At the best λ; see `solve_normal_equations` for the structures.

    Parameters
    ----------
    design, labeled, workers, num_threads, progress
        As for `solve_normal_equations`.
    thinning : int
        Every first, second, ... structure of each group counts.
    """
    turns: Counter[str] = Counter()
    kept = []
    for item in labeled:
        if turns[item.config_type] % thinning == 0:
            kept.append(item)
        turns[item.config_type] += 1
    some = LabeledData(tuple(kept), labeled.keys)
    possible = can_be_nonzero(design.basis, (item.atoms for item in some))
    with _room(int(possible.sum())) as folder:
        fit = _Fit(design, possible, folder, resolve_num_threads(num_threads))
        run = partial(fit.rows_of, some, workers=workers, num_threads=num_threads, progress=progress)
        held, kinds = _assembled(fit, some, run, True, len(some) * len(fit.columns))
        n_same = fit.scale_columns(held[:, :-1])
        scores = _scores(fit, held[:, :-1] * fit.d, held[:, -1], kinds)
    return min(scores.values()), fit.gram.n - n_same


@contextmanager
def _room(n: int) -> Iterator[Path | None]:
    """A folder for tiles where memory is short, else None."""
    needed = 8.0 * n * (n + 1)
    _log.info(f"normal equations of {n:,} unknowns: {needed / 2**30:.2f} GiB")
    if needed < _SHARE * physical_memory():
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="acepure-") as name:
        _log.info(f"more than {_SHARE:.0%} of the memory: in a file in {name}")
        yield Path(name)


class _Fit:
    """G and dXᵀy of the possible columns, multiplied by d, and where they belong."""

    def __init__(self, design: Design, possible: np.ndarray, folder: Path | None, num_threads: int) -> None:
        self.design, self.possible, self.num_threads = design, possible, num_threads
        with_constants = np.concatenate([np.zeros((len(possible), 1), dtype=bool), possible], axis=1)
        self.columns = np.flatnonzero(np.append(with_constants.ravel(), True))
        self.gram = TiledMatrix(len(self.columns) - 1, folder)
        self.right, self.d = np.zeros(self.gram.n), np.ones(self.gram.n)
        self.n_rows = 0

    def rows_of(
        self, labeled: LabeledSet, *, workers: Any, num_threads: int | None, progress: bool | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield rows of the possible columns, right-hand side last, with their kinds and structures."""
        function = partial(_rows, self.design, self.columns, kernel_threads(workers, num_threads))
        batches = batched(labeled, self.design.n_rows, _ROWS)
        with structure_bar("normal equations", labeled, progress) as bar:
            yield from ordered_map(function, batches, workers, bar=bar)

    def add(self, rows: np.ndarray) -> None:
        """Add rows, right-hand side last."""
        X, y = rows[:, :-1], rows[:, -1]
        self.gram.add_rows(X, self.num_threads)
        self.right += X.T @ y
        self.n_rows += len(rows)

    def coefficients(self, theta: np.ndarray) -> np.ndarray:
        """Scatter θ of the possible columns, shape (n_species, n_features, ...)."""
        result = np.zeros((*self.possible.shape, *theta.shape[1:]))
        result[self.possible] = theta
        return result

    def scale_columns(self, held: np.ndarray) -> int:
        """Make all columns of length one, and those 0 that are multiples of an earlier one; return how many these are.

        Rows that are still to be added count, shape (any, n): what differs only there is not the same. `d` is what
        columns are multiplied by.
        """
        G, length = self.gram, np.sqrt(self.gram.diagonal() + np.square(held).sum(axis=0))
        same = length <= _ZERO * length.max(initial=0.0)
        for j in range(G.n_tiles):
            for i in range(j + 1):
                left, right = length[G.part(i)], length[G.part(j)]
                products = G[i, j][: len(left), : len(right)] + held[:, G.part(i)].T @ held[:, G.part(j)]
                cosine = np.abs(products) >= (1 - _SAME) * left[:, None] * right
                same[G.part(j)] |= (np.triu(cosine, 1) if i == j else cosine)[~same[G.part(i)]].any(axis=0)
        self.d = np.where(same, 0.0, 1.0 / np.where(same, 1.0, length))
        G.scale(self.d, self.num_threads)
        self.right *= self.d
        return int(same.sum())


def _rows(
    design: Design, columns: np.ndarray, num_threads: int | None, batch: Sequence[tuple[int, LabeledStructure]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, kinds, structures = [], [], []
    for number, item in batch:
        with naming_structure(number):
            rows.append(design.rows(item, num_threads)[:, columns])
        kinds.append(np.repeat(np.arange(3), design.rows_by_kind(item)))
        structures.append(np.full(len(rows[-1]), number))
    return np.concatenate(rows), np.concatenate(kinds), np.concatenate(structures)


def _solved(fit: _Fit, labeled: LabeledSet, run: Any, alpha: float | None, progress: bool | None) -> NormalSolution:
    held, held_kinds = _assembled(fit, labeled, run, alpha is None, fit.gram.n)
    n_same = fit.scale_columns(held[:, :-1])
    summary = [
        f"{fit.possible.size:,} coefficients, {fit.possible.size - fit.gram.n:,} of them of functions that are zero in "
        f"all structures, {n_same:,} equal to others"
    ]
    if alpha is None:
        X = held[:, :-1] * fit.d
        scores = _scores(fit, X, held[:, -1], held_kinds)
        alpha = min(scores, key=scores.__getitem__)
        summary.append(f"alpha {alpha:.0e} chosen by {len(held):,} rows of structures left out, of {len(scores)} tried")
        fit.add(np.column_stack([X, held[:, -1]]))
    R, u, f, text = _minimum(fit, labeled, run, alpha * fit.gram.n, progress)
    noise = float(np.sqrt(f / fit.n_rows))
    summary.append(f"{text}, alpha {alpha:.1e}")
    return NormalSolution(fit.coefficients(fit.d * u), _posterior(fit, R, noise, summary), noise, fit.n_rows, summary)


def _minimum(
    fit: _Fit, labeled: LabeledSet, run: Any, lam: float, progress: bool | None
) -> tuple[TiledMatrix, np.ndarray, float, str]:
    """R, u and least f, by Cholesky or else by QR, and how."""
    needed, room = 8.0 * 3 * (fit.gram.n + 1) ** 2 + fit.gram.nbytes, _SHARE * physical_memory()
    advice = (
        f"QR of the rows would need {needed / 2**30:.1f} GiB, more than {_SHARE:.0%} of the memory; take fewer "
        'functions, or a larger regularization, options={"alpha": ...}'
    )
    try:
        R = fit.gram.cholesky(lam, fit.num_threads)
    except np.linalg.LinAlgError:
        if needed > room:
            raise np.linalg.LinAlgError(f"the normal equations are not positive for this alpha; {advice}") from None
        why = "normal equations that are not positive"
    else:
        u, f, excess = _corrected(fit, labeled, R, lam, progress)
        text = f"squared errors exceed the least possible by a part of {excess:.1e}"
        if excess <= _UNTRUSTED:
            return R, u, f, f"Cholesky; {text}"
        if needed > room:
            warnings.warn(
                f"digits lost in the normal equations matter: {text}; {advice}", LargeBasisWarning, stacklevel=6
            )
            return R, u, f, f"Cholesky; {text}"
        why = f"lost digits: {text}"
    _log.info(f"QR of all rows, {needed / 2**30:.2f} GiB, because of {why}")
    return *_by_qr(fit, run, lam), f"QR of all rows, because of {why}"


def _by_qr(fit: _Fit, run: Any, lam: float) -> tuple[TiledMatrix, np.ndarray, float]:
    """R, u and least f from the rows, which are made again."""
    n = fit.gram.n
    factor = RFactor(n + 1, ridge=np.append(np.full(n, np.sqrt(lam)), 0.0))
    for rows, _, _ in run():
        factor.add(rows * np.append(fit.d, 1.0))
    R = factor.R
    u = solve_triangular(R[:n, :n], R[:n, n], check_finite=False)
    return TiledMatrix.from_dense(R[:n, :n]), u, float(R[n, n] ** 2)


def _assembled(fit: _Fit, labeled: LabeledSet, run: Any, hold: bool, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Add the rows of most structures; return those left out, about `most` rows, with their kinds."""
    left_out = np.zeros(len(labeled), dtype=bool)
    if hold:
        left_out = interleaved_folds([item.config_type for item in labeled], min(_ONE_OF, len(labeled)))[0] == 0
    held, kinds, n_held = [np.empty((0, len(fit.columns)))], [np.empty(0, dtype=np.int64)], 0
    for rows, kind, structure in run():
        out = left_out[structure]
        if n_held > most:
            out[:] = False
        fit.add(rows[~out])
        held.append(rows[out])
        kinds.append(kind[out])
        n_held += int(out.sum())
    return np.concatenate(held), np.concatenate(kinds)


def _scores(fit: _Fit, X: np.ndarray, y: np.ndarray, kinds: np.ndarray) -> dict[float, float]:
    """Mean logarithm of root mean square errors of the kinds of labels, by α.

    Every second α from the middle on, to smaller and else larger ones, while errors fall; then those beside the best.
    """
    scores: dict[float, float] = {}
    R = TiledMatrix(fit.gram.n, fit.gram.folder)

    def tried(alpha: float) -> bool:
        try:
            fit.gram.cholesky(alpha * fit.gram.n, fit.num_threads, R)
        except np.linalg.LinAlgError:
            return False
        error = np.square(X @ R.solve(fit.right) - y)
        means = np.array([error[kinds == k].mean() for k in np.unique(kinds)])
        scores[alpha] = float(np.mean(0.5 * np.log(np.maximum(means, np.finfo(float).tiny))))
        _log.info(
            f"  alpha {alpha:.0e}: errors of what was left out {np.exp(scores[alpha] - max(scores.values())):.3f}"
        )
        return True

    def best() -> float:
        return min(scores, key=scores.__getitem__)

    middle = len(ALPHAS) // 2
    for way in (ALPHAS[middle::2], ALPHAS[middle % 2 : middle : 2][::-1]):
        for alpha in way:
            positive = tried(alpha)
            if scores and not (positive and best() == alpha):
                break
        if scores and best() != ALPHAS[middle]:
            break
    if not scores:
        raise np.linalg.LinAlgError(f"the normal equations are not positive for alpha {ALPHAS[middle % 2]:g}")
    k = ALPHAS.index(best())
    for alpha in (*ALPHAS[max(k - 1, 0) : k], *ALPHAS[k + 1 : k + 2]):
        tried(alpha)
    return scores


def _corrected(
    fit: _Fit,
    labeled: LabeledSet,
    R: TiledMatrix,
    lam: float,
    progress: bool | None,
) -> tuple[np.ndarray, float, float]:
    """Solve, and correct u by gradients from the structures; return it, f, and the part by which f is too large."""
    d, u = fit.d, R.solve(fit.right)
    best, least, excess = u, np.inf, np.inf
    for step in range(_CORRECTIONS + 1):
        squares, gradient = _gradient(fit, labeled, d * u, progress)
        f = squares + lam * float(u @ u)
        if f >= least:  # rounding of G makes corrections worse: what was there before stays
            break
        r = d * gradient - lam * u
        change = R.solve(r)
        best, least, excess = u, f, float(r @ change) / f if f > 0 else 0.0
        _log.info(f"  errors exceed the least possible by {excess:.1e} of their squares, after {step} corrections")
        if excess < _EXCESS:
            break
        u = u + change
    return best, least, excess


def _gradient(fit: _Fit, labeled: LabeledSet, theta: np.ndarray, progress: bool | None) -> tuple[float, np.ndarray]:
    """Return |y − X θ|² and Xᵀ(y − X θ) of the possible columns, from the structures."""
    function = LinearFunction(fit.design.basis, fit.coefficients(theta))
    total, squares = np.zeros(fit.possible.shape), 0.0
    with structure_bar("gradient", labeled, progress) as bar:
        for k, item in enumerate(labeled):
            with naming_structure(k):
                more, gradient = fit.design.gradient(item, function, fit.num_threads)
            squares += more
            total += gradient
            bar.update()
    return squares, total[fit.possible]


def _posterior(fit: _Fit, R: TiledMatrix, noise: float, summary: list[str]) -> FactoredPosterior | None:
    """S = σ d R⁻¹ by functions, or None where R goes with its file."""
    if R.folder is not None:
        summary.append("no standard deviations: the triangle that they need is in a file, for want of memory")
        return None
    found = FactoredPosterior(R, np.flatnonzero(fit.possible), noise * fit.d, *fit.possible.shape)
    if found.nbytes > _ANNOUNCED:
        summary.append(
            f"standard deviations take {found.nbytes / 2**30:.2f} GiB, in files too: save(posterior=False) leaves them "
            "out"
        )
    return found
