"""Large symmetric matrices in tiles: sums XᵀX of rows that arrive in parts, A + λ = RᵀR, solutions.

Only tiles of the upper triangle are held, half of the matrix, in memory or in a file. Each tile is one task for a
thread, computed in one fixed order, so that results have the same bits for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from acepure._utils.blas import one_blas_thread
from acepure._utils.checks import count

#: Rows and columns of a tile.
TILE = 512

Run = Callable[[Callable[..., None], Iterable[tuple[Any, ...]]], None]


class TiledMatrix:
    """A symmetric or upper triangular matrix, by the tiles of its upper triangle.

    Parameters
    ----------
    n : int
        Rows and columns.
    folder : Path, optional
        The tiles are in a file there, not in memory; whoever gives the folder removes it.
    tile : int
        Largest number of rows and columns of a tile.

    Examples
    --------
    >>> A = TiledMatrix(2)
    >>> A.add_rows(np.array([[1.0, 2.0], [0.0, 1.0]]), 1)
    >>> A.dense()
    array([[1., 2.],
           [2., 5.]])
    """

    def __init__(self, n: int, folder: Path | None = None, tile: int = TILE) -> None:
        self.n, self.folder = count("n", n), folder
        self.tile = min(tile, n)
        self.n_tiles = -(-n // self.tile)
        shape = (self.n_tiles * (self.n_tiles + 1) // 2, self.tile, self.tile)
        if folder is None:
            self._tiles = np.zeros(shape)
        else:
            number = sum(1 for _ in folder.glob("*.tiles"))
            self._tiles = np.memmap(folder / f"{number}.tiles", np.float64, "w+", shape=shape)

    @classmethod
    def from_tiles(cls, n: int, tiles: np.ndarray) -> TiledMatrix:
        """Return the matrix of n rows that has these `tiles`, which are not copied.

        Raises
        ------
        ValueError
            If they are not as many as n rows have.
        """
        result = cls.__new__(cls)
        result.n, result.folder = count("n", n), None
        result.tile = tiles.shape[-1] if tiles.ndim == 3 else 0
        result.n_tiles = -(-n // max(result.tile, 1))
        needed = (result.n_tiles * (result.n_tiles + 1) // 2, result.tile, result.tile)
        if tiles.shape != needed or not result.tile:
            raise ValueError(f"{n} rows have tiles of shape (any, k, k), here {needed}; got {tiles.shape}")
        result._tiles = tiles
        return result

    @classmethod
    def from_dense(cls, matrix: np.ndarray, tile: int = TILE) -> TiledMatrix:
        """Return the upper triangle of a square matrix in tiles, with ones behind the last column."""
        result = cls(len(matrix), tile=tile)
        for i, j in result._pairs():
            part = matrix[result.part(i), result.part(j)]
            result[i, j][: len(part), : part.shape[1]] = np.triu(part) if i == j else part
        result._fill_behind()
        return result

    @property
    def tiles(self) -> np.ndarray:
        """All tiles, row by row, shape (any, tile, tile)."""
        return self._tiles

    @property
    def nbytes(self) -> int:
        """Memory of the tiles, in memory or on disk."""
        return int(self._tiles.nbytes)

    def __getitem__(self, index: tuple[int, int]) -> np.ndarray:
        """The tile (i, j), i ≤ j, to be changed in place."""
        i, j = index
        return self._tiles[i * self.n_tiles - i * (i - 1) // 2 + j - i]

    def part(self, i: int) -> slice:
        """Rows, or columns, of the i-th tiles."""
        return slice(i * self.tile, min((i + 1) * self.tile, self.n))

    def _pairs(self) -> Iterator[tuple[int, int]]:
        return ((i, j) for j in range(self.n_tiles) for i in range(j + 1))

    def add_rows(self, X: np.ndarray, num_threads: int) -> None:
        """Add XᵀX.

        Parameters
        ----------
        X : numpy.ndarray, shape (any, n)
        num_threads : int
            How many tiles are computed side by side.
        """
        parts = [np.ascontiguousarray(X[:, self.part(i)]) for i in range(self.n_tiles)]

        def add(i: int, j: int) -> None:
            product = parts[i].T @ parts[j]
            self[i, j][: len(product), : product.shape[1]] += product

        with _side_by_side(num_threads) as run:
            run(add, self._pairs())

    def diagonal(self) -> np.ndarray:
        """Return the diagonal, shape (n,)."""
        return np.concatenate([np.diag(self[i, i]) for i in range(self.n_tiles)])[: self.n]

    def scale(self, d: np.ndarray, num_threads: int = 1) -> None:
        """Multiply A_ij by d_i d_j."""

        def multiply(i: int, j: int) -> None:
            left, right = d[self.part(i)], d[self.part(j)]
            self[i, j][: len(left), : len(right)] *= left[:, None] * right

        with _side_by_side(num_threads) as run:
            run(multiply, self._pairs())

    def dense(self) -> np.ndarray:
        """Return the whole symmetric matrix, shape (n, n)."""
        upper = self.dense_upper()
        return upper + np.triu(upper, 1).T

    def dense_upper(self) -> np.ndarray:
        """Return its upper triangle, zeros below, shape (n, n)."""
        result = np.zeros((self.n, self.n))
        for i, j in self._pairs():
            rows, columns = self.part(i), self.part(j)
            result[rows, columns] = self[i, j][: rows.stop - rows.start, : columns.stop - columns.start]
        return np.triu(result)

    def cholesky(self, shift: float, num_threads: int, out: TiledMatrix | None = None) -> TiledMatrix:
        """Return the upper triangular R of A + shift = RᵀR.

        Parameters
        ----------
        shift : float
            Added to the diagonal.
        num_threads : int
        out : TiledMatrix, optional
            Of the same size; overwritten by the result.

        Raises
        ------
        numpy.linalg.LinAlgError
            If A + shift is not positive, to rounding.
        """
        R = TiledMatrix(self.n, self.folder, self.tile) if out is None else out
        R._tiles[:] = self._tiles
        for i in range(R.n_tiles):
            R[i, i][np.diag_indices(R.tile)] += shift
        R._fill_behind()
        with _side_by_side(num_threads) as run:
            for k in range(R.n_tiles):
                R[k, k][:] = np.linalg.cholesky(R[k, k].T).T
                run(R._solve_tile, [(k, j) for j in range(k + 1, R.n_tiles)])
                rest = [(k, i, j) for j in range(k + 1, R.n_tiles) for i in range(k + 1, j + 1)]
                run(R._subtract_tile, rest)
        return R

    def _fill_behind(self) -> None:
        """Make the corner behind the last column 1, so that it can be solved with."""
        filled = self.n - (self.n_tiles - 1) * self.tile
        np.fill_diagonal(self[self.n_tiles - 1, self.n_tiles - 1][filled:, filled:], 1.0)

    def _solve_tile(self, k: int, j: int) -> None:
        self[k, j][:] = solve_triangular(self[k, k], self[k, j], trans="T", check_finite=False)

    def _subtract_tile(self, k: int, i: int, j: int) -> None:
        self[i, j][:] -= self[k, i].T @ self[k, j]

    def solve(self, b: np.ndarray) -> np.ndarray:
        """Return (RᵀR)⁻¹ b of a triangle R, shape of b: (n,) or (n, any)."""
        return self.solve_triangular(self.solve_triangular(b, transposed=True))

    def solve_triangular(self, b: np.ndarray, transposed: bool = False) -> np.ndarray:
        """Return R⁻¹ b, or R⁻ᵀ b, of a triangle R."""
        padded = np.zeros((self.n_tiles * self.tile, *b.shape[1:]))
        padded[: self.n] = b
        x = padded.reshape(self.n_tiles, self.tile, *b.shape[1:])
        order = range(self.n_tiles) if transposed else range(self.n_tiles - 1, -1, -1)
        with one_blas_thread():
            for k in order:
                x[k] = solve_triangular(self[k, k], x[k], trans="T" if transposed else "N", check_finite=False)
                for j in range(k + 1, self.n_tiles) if transposed else range(k):
                    x[j] -= self[k, j].T @ x[k] if transposed else self[j, k] @ x[k]
        return padded[: self.n]


@contextmanager
def _side_by_side(num_threads: int) -> Iterator[Run]:
    """Give a function that runs tasks on threads, each with one thread of BLAS, and waits for all."""
    with one_blas_thread(), ThreadPoolExecutor(num_threads) as pool:

        def run(task: Callable[..., None], arguments: Iterable[tuple[Any, ...]]) -> None:
            for future in [pool.submit(task, *each) for each in arguments]:
                future.result()

        yield run
