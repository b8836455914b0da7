"""R factors of tall matrices whose rows arrive in chunks, A = Q R, in O(n_columns²) memory; accurate singular values.

    RFactor              rows → R, in order, or from the R factors of parts
    singular_values      σ of R, to high relative accuracy even for columns of very different scale
    jacobi_svd           σ and right singular vectors

R carries all that least squares and Gram matrices need, as RᵀR = AᵀA, without squaring a condition number.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import lapack

from acepure._utils.blas import one_blas_thread
from acepure._utils.checks import count, real_array

# Rows that are reduced at a time, and columns per block of reflectors. More of either is no faster, as reflectors skip
# the zeros of R.
_CHUNK, _BLOCK = 256, 32

# The options of dgejsv by number. Scaled columns decide the accuracy (C), small ones are kept (N), nothing is
# transposed (N) or perturbed (N).
_JACOBI = {"joba": 0, "jobr": 0, "jobt": 0, "jobp": 0}
_VECTORS, _NO_VECTORS = 0, 3


class RFactor:
    """R of A = Q R, with rows of A added a few at a time; Q is never formed.

    Rows are collected and reduced by Householder reflections in chunks of a fixed size. So R depends on the rows and
    their order alone, to the last bit, not on how they were divided into calls (nor on when `R` was looked at), given
    the same LAPACK. Errors are small relative to each column: columns may differ in scale by
    hundreds of orders of magnitude.

    For least squares let the last columns be the right-hand sides.

    Parameters
    ----------
    n_columns : int
    ridge : array_like of float64, shape (n_columns,), optional
        The diagonal to begin with, as if the rows of diag(ridge) had been added; they are not counted.

    Examples
    --------
    >>> factor = RFactor(2)
    >>> factor.add([[3.0, 1.0]])
    >>> factor.add([[4.0, 2.0], [0.0, 1.0]])
    >>> factor.R.round(12)
    array([[5.        , 2.2       ],
           [0.        , 1.07703296]])
    """

    def __init__(self, n_columns: int, ridge: ArrayLike | None = None) -> None:
        self.n_columns = count("n_columns", n_columns)
        self._reduced = np.zeros((self.n_columns, self.n_columns), order="F")
        if ridge is not None:
            np.fill_diagonal(self._reduced, real_array("ridge", ridge, (self.n_columns,)))
        self._waiting = np.empty((_CHUNK, self.n_columns), order="F")
        self._n_waiting = 0
        self._n_rows = 0

    @property
    def n_rows(self) -> int:
        """How many rows were added."""
        return self._n_rows

    def __repr__(self) -> str:
        return f"RFactor({self.n_columns}): {self._n_rows:,} rows"

    def add(self, rows: ArrayLike) -> None:
        """Add rows at the end.

        Parameters
        ----------
        rows : array_like of float64, shape (any, n_columns)

        Raises
        ------
        TypeError, ValueError
            For rows of the wrong type or shape, or NaN; nothing is added then.
        """
        rows = real_array("rows", rows, (None, self.n_columns))
        start = 0
        while start < len(rows):
            taken = min(len(rows) - start, len(self._waiting) - self._n_waiting)
            self._waiting[self._n_waiting : self._n_waiting + taken] = rows[start : start + taken]
            self._n_waiting += taken
            start += taken
            if self._n_waiting == len(self._waiting):
                self._reduced = _reduce(self._reduced, self._waiting)
                self._n_waiting = 0
        self._n_rows += len(rows)

    def merge(self, other: RFactor) -> None:
        """Add all rows of another factor, which stays as it is.

        The result is R of both sets of rows. Its last bits depend on what is merged into what: workers give the same
        bits whatever their number if the data alone decide which rows make a part, and in which order parts are merged.

        Parameters
        ----------
        other : RFactor
            Of as many columns.
        """
        if not isinstance(other, RFactor):
            raise TypeError(f"other must be an RFactor; got {other!r} of type {type(other).__name__}")
        if other.n_columns != self.n_columns:
            raise ValueError(f"other has {other.n_columns} columns, this factor has {self.n_columns}; equal are needed")
        mine, theirs = self._all_reduced(), other._all_reduced()
        self._reduced = _reduce(mine, theirs, triangular=True)
        self._n_waiting = 0
        self._n_rows += other.n_rows

    @property
    def R(self) -> np.ndarray:
        """R, shape (n_columns, n_columns): upper triangular with diagonal >= 0, so unique for columns of full rank.

        Raises
        ------
        ValueError
            If the norm of a column is beyond the largest float64.
        """
        R = np.array(self._all_reduced(), order="C")
        if not np.isfinite(R).all():
            raise ValueError("the norm of a column is beyond the largest float64; divide the rows by a number")
        R[np.diag(R) < 0] *= -1.0
        return R + 0.0  # no negative zeros

    def _all_reduced(self) -> np.ndarray:
        """R with the waiting rows, which stay: reducing them for good would make chunks depend on the moment."""
        if not self._n_waiting:
            return self._reduced.copy(order="F")
        return _reduce(self._reduced.copy(order="F"), self._waiting[: self._n_waiting].copy(order="F"))


def _reduce(R: np.ndarray, rows: np.ndarray, triangular: bool = False) -> np.ndarray:
    """R of [R; rows]; both arguments are in Fortran order and overwritten. `triangular` rows are another R."""
    n = len(R)
    with one_blas_thread():  # several also wait for each other on matrices as small as these
        R, _, _, info = lapack.dtpqrt(n if triangular else 0, min(_BLOCK, n), R, rows, overwrite_a=1, overwrite_b=1)
    if info:
        raise np.linalg.LinAlgError(f"LAPACK dtpqrt reports info = {info}")
    return R


def singular_values(matrix: ArrayLike) -> np.ndarray:
    """Return singular values by one-sided Jacobi rotations, largest first.

    For a matrix whose columns, once scaled to unit norm, have condition number κ, every singular value has a relative
    error of about κ times the rounding unit, however different the scales are. Usual algorithms lose all values below
    the largest times the rounding unit. (Drmač and Veselić, SIAM J. Matrix Anal. Appl. 29, 1322 (2008); LAPACK dgejsv.)

    Parameters
    ----------
    matrix : array_like of float64, shape (m, n) with m >= n
        An R factor, for example.

    Returns
    -------
    numpy.ndarray of float64, shape (n,)
        Values below 1e-308 times the largest come out as zero.

    Raises
    ------
    TypeError, ValueError
        For a wrong argument.
    numpy.linalg.LinAlgError
        If the rotations do not converge.

    Examples
    --------
    >>> singular_values([[1.0, 1e-40], [1.0, -1e-40]])
    array([1.41421356e+00, 1.41421356e-40])
    """
    return _jacobi(matrix, _NO_VECTORS)[0]


def jacobi_svd(matrix: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return singular values as `singular_values` does, and the right singular vectors.

    Parameters
    ----------
    matrix : array_like of float64, shape (m, n) with m >= n

    Returns
    -------
    values : numpy.ndarray of float64, shape (n,)
        Largest first.
    vectors : numpy.ndarray of float64, shape (n, n)
        In columns.

    Examples
    --------
    >>> values, vectors = jacobi_svd([[0.0, 2.0], [1.0, 0.0]])
    >>> values, abs(vectors)
    (array([2., 1.]), array([[0., 1.],
           [1., 0.]]))
    """
    return _jacobi(matrix, _VECTORS)


def _jacobi(matrix: ArrayLike, vectors: int) -> tuple[np.ndarray, np.ndarray]:
    matrix = real_array("matrix", matrix, (None, None))
    m, n = matrix.shape
    if m < n:
        raise ValueError(f"matrix must have at least as many rows as columns; got shape {matrix.shape}")
    if not n:
        return np.empty(0), np.empty((0, 0))
    # Left vectors come along: releases of LAPACK up to 3.12 state a wrong size of work space for right ones alone.
    values, _, right, work, _, info = lapack.dgejsv(matrix, jobu=vectors, jobv=vectors, **_JACOBI)
    if info:
        raise np.linalg.LinAlgError(f"the singular values did not converge: LAPACK dgejsv reports info = {info}")
    return values * (work[0] / work[1]), right
