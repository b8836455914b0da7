"""Radial functions given by tables: cubic Hermite polynomials between equally spaced nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from acepure._utils.checks import distances
from acepure.functions.radial import RadialBasis


@dataclass(frozen=True, eq=False)
class RadialTable:
    """Functions R_q of a pair of species.

    Attributes
    ----------
    rcut : float
        Å; the node behind the last one.
    values, slopes : numpy.ndarray, shape (n_nodes, n_functions)
        R_q and dR_q/dr in 1/Å at r = 0, rcut / n_nodes, ...; what is at r = 0 serves no distance.
    combinations : numpy.ndarray, shape (n_functions, n_labels), optional
        Functions that labels stand for; default those of the table.
    """

    rcut: float
    values: np.ndarray
    slopes: np.ndarray
    combinations: np.ndarray | None = None

    @property
    def spacing(self) -> float:
        """Distance of the nodes in Å; nearer pairs are not allowed."""
        return self.rcut / len(self.values)

    def evaluate(self, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return values and d/dr, each (len(r), n_functions); zero from rcut on."""
        h, inside = self.spacing, (r < self.rcut)[:, None]
        f, d = (np.vstack([rows, np.zeros((2, rows.shape[1]))]) for rows in (self.values, h * self.slopes))
        node = np.where(inside[:, 0], r / h, 0.0).astype(np.int64)
        t = (r / h - node)[:, None]
        rise = f[node + 1] - f[node]
        a, b = 3 * rise - d[node + 1] - 2 * d[node], d[node] + d[node + 1] - 2 * rise
        values = f[node] + t * (d[node] + t * (a + t * b))
        return values * inside, (d[node] + t * (2 * a + 3 * t * b)) / h * inside


@dataclass(frozen=True, eq=False)
class SplineRadialBasis(RadialBasis):
    """Functions of tables, which the kernel interpolates; labels are numbers.

    Parameters
    ----------
    cutoffs : mapping of (str, str) to float
        Å, of all ordered pairs.
    tables : mapping of (str, str) to RadialTable
        Of those pairs that occur.

    Examples
    --------
    >>> r = np.linspace(0, 4, 40, endpoint=False)[:, None]
    >>> table = RadialTable(4.0, (4 - r) ** 3, -3 * (4 - r) ** 2)
    >>> basis = SplineRadialBasis({("Cu", "Cu"): 4.0}, {("Cu", "Cu"): table})
    >>> basis.evaluate([2.02, 4.0], "Cu", "Cu", 1).round(6)
    array([[7.762392],
           [0.      ]])
    """

    cutoffs: Mapping[tuple[str, str], float]
    tables: Mapping[tuple[str, str], RadialTable]

    @property
    def has_kernel(self) -> bool:
        return True

    @property
    def plain(self) -> SplineRadialBasis:
        tables = {pair: RadialTable(t.rcut, t.values, t.slopes) for pair, t in self.tables.items()}
        return SplineRadialBasis(self.cutoffs, tables)

    @property
    def is_combined(self) -> bool:
        """Whether labels stand for combinations."""
        return any(table.combinations is not None for table in self.tables.values())

    @property
    def nearest(self) -> float:
        """Distance in Å that pairs must have at least."""
        return max(table.spacing for table in self.tables.values())

    def combination(self, center: str, neighbor: str, labels: Sequence[Any]) -> tuple[Sequence[Any], np.ndarray | None]:
        if not self.is_combined:
            return labels, None
        plain = range(max(table.values.shape[1] for table in self.tables.values()))
        matrix, table = np.zeros((len(plain), len(labels))), self.tables.get((center, neighbor))
        if table is not None and table.combinations is not None:
            rows, columns = table.combinations.shape
            known = [k for k, label in enumerate(labels) if label < columns]
            matrix[:rows, known] = table.combinations[:, [labels[k] for k in known]]
        return plain, matrix

    def cutoff(self, center: str, neighbor: str) -> float:
        return self.cutoffs[center, neighbor]

    def evaluate(self, r: ArrayLike, center: str, neighbor: str, n_radial: int) -> np.ndarray:
        return self.evaluate_with_gradients(r, center, neighbor, n_radial)[0]

    def evaluate_with_gradients(
        self, r: ArrayLike, center: str, neighbor: str, n_radial: int
    ) -> tuple[np.ndarray, np.ndarray]:
        values, slopes = self.tables[center, neighbor].evaluate(distances("r", r))
        matrix = self.combination(center, neighbor, range(n_radial))[1]
        if matrix is None:
            return values[:, :n_radial], slopes[:, :n_radial]
        return values @ matrix[: values.shape[1]], slopes @ matrix[: values.shape[1]]

    def kernel_tables(
        self, pairs: Sequence[tuple[str, str]], channels: Sequence[int], lanes: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what the kernel takes: all nodes, where those of each pair begin, and nodes per Å.

        Parameters
        ----------
        pairs : sequence of (str, str)
        channels : sequence of int
            The functions wanted, by their numbers.
        lanes : int
            The kernel takes so many side by side.
        """
        width, parts, starts, densities = -(-len(channels) // lanes) * lanes, [], [], []
        n_nodes = 0
        for pair in pairs:
            table = self.tables.get(pair)
            starts.append(n_nodes)
            densities.append(0.0 if table is None else 1 / table.spacing)
            if table is not None:
                n, n_functions = table.values.shape
                here = [k for k, q in enumerate(channels) if q < n_functions]
                there = [q for q in channels if q < n_functions]
                part = np.zeros(
                    (n + 2, 2, width)
                )  # two nodes of zeros, for distances that rounding takes to the cutoff
                part[:n, 0, here] = table.values[:, there]
                part[:n, 1, here] = table.slopes[:, there] * table.spacing
                parts.append(part.reshape(-1, width))
                n_nodes += n + 2
        return np.concatenate(parts), np.array(starts, dtype=np.int64), np.array(densities)
