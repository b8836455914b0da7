"""Families of polynomials P_n(x) on [-1, 1], each given by its three-term recurrence.

P_0 = A_0,   P_1 = (A_1 x + B_1) P_0,   P_n = (A_n x + B_n) P_{n-1} + C_n P_{n-2}           (*)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from acepure._utils.checks import count, real_array
from acepure._utils.pairs import per_pair, value_at
from acepure._utils.read_only import read_only_array
from acepure._utils.serialization import Serializable

Coordinates = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # r -> x(r), f(r)

SMALLEST_STEP = 1e-8  # rounding of x moves P_n by eps/step; below sqrt(eps) half of the digits are gone
GRAM_TOLERANCE = 1e-8  # what the recurrence may lose on top of that


class Polynomials(Serializable, ABC):
    """Base of families of polynomials; P_n has degree n."""

    @abstractmethod
    def recurrence(
        self,
        n: int,
        center: str | None = None,
        neighbor: str | None = None,
        coordinates: Coordinates | None = None,
    ) -> np.ndarray:
        """Return the coefficients (A, B, C) of (*) for P_0 .. P_{n-1}.

        Parameters
        ----------
        n : int
            Number of polynomials, >= 1.
        center, neighbor : str, optional
            Chemical symbols of the ordered pair, for families that depend on it.
        coordinates : callable, optional
            Maps distances (k,) in Å to x (k,) and f (k,), for families that depend on them.

        Returns
        -------
        recurrence : (n, 3) array of float64
            Unused entries (B_0, C_0, C_1) are zero.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type, is out of range, or is missing where it is needed.
        """


@dataclass(frozen=True)
class Chebyshev(Polynomials):
    """Chebyshev polynomials of the first kind, T_n(cos t) = cos(n t).

    Examples
    --------
    >>> Chebyshev().recurrence(3)
    array([[ 1.,  0.,  0.],
           [ 1.,  0.,  0.],
           [ 2.,  0., -1.]])
    """

    def recurrence(
        self,
        n: int,
        center: str | None = None,
        neighbor: str | None = None,
        coordinates: Coordinates | None = None,
    ) -> np.ndarray:
        table = np.zeros((count("n", n), 3))
        table[:2, 0] = 1.0
        table[2:] = (2.0, 0.0, -1.0)
        return table


@dataclass(frozen=True)
class Legendre(Polynomials):
    r"""Legendre polynomials, orthonormal on [-1, 1]: :math:`\int P_n P_m dx = \delta_{nm}`.

    Examples
    --------
    >>> Legendre().recurrence(2).round(4)
    array([[0.7071, 0.    , 0.    ],
           [1.7321, 0.    , 0.    ]])
    """

    def recurrence(
        self,
        n: int,
        center: str | None = None,
        neighbor: str | None = None,
        coordinates: Coordinates | None = None,
    ) -> np.ndarray:
        table = np.zeros((count("n", n), 3))
        table[0, 0] = np.sqrt(0.5)
        k = np.arange(1, n)
        table[1:, 0] = np.sqrt((2 * k + 1) * (2 * k - 1)) / k
        k = k[1:]
        table[2:, 2] = -(k - 1) / k * np.sqrt((2 * k + 1) / (2 * k - 3))
        return table


@dataclass(frozen=True, eq=False)
class Measure(Serializable):
    """A discrete measure on distances, sum_k weights[k] delta(r - nodes[k]).

    A quadrature rule makes it stand for a density, a histogram of distances for data.

    Parameters
    ----------
    nodes : (k,) array_like of float64
        Distances in Å, >= 0.
    weights : (k,) array_like of float64
        >= 0, not all zero.

    Raises
    ------
    TypeError, ValueError
        If the arrays differ in length, are not finite, or hold negative numbers.

    Examples
    --------
    >>> Measure([1.0, 2.0, 3.0], [0.5, 1.0, 0.5])
    Measure(3 nodes from 1 to 3 Å, total weight 2)
    """

    nodes: np.ndarray
    weights: np.ndarray

    def __post_init__(self) -> None:
        nodes = read_only_array("nodes", self.nodes, (None,))
        weights = read_only_array("weights", self.weights, (None,))
        if len(nodes) != len(weights):
            raise ValueError(f"nodes and weights must be of one length; got {len(nodes)} and {len(weights)}")
        for name, array in (("nodes", nodes), ("weights", weights)):
            if (array < 0).any():
                raise ValueError(f"{name} must be >= 0; number {np.argmin(array)} is {array.min():g}")
        if not weights.any():
            raise ValueError(f"weights must not all be zero; got {len(weights)} weights that sum to 0")
        for name, array in (("nodes", nodes), ("weights", weights)):
            object.__setattr__(self, name, array)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Measure):
            return NotImplemented
        return np.array_equal(self.nodes, other.nodes) and np.array_equal(self.weights, other.weights)

    def __hash__(self) -> int:
        return hash((tuple(self.nodes), tuple(self.weights)))

    def __repr__(self) -> str:
        low, high = self.nodes.min(), self.nodes.max()
        total = self.weights.sum()
        return f"Measure({len(self.nodes)} nodes from {low:g} to {high:g} Å, total weight {total:g})"


@dataclass(frozen=True)
class Orthonormal(Polynomials):
    """Polynomials that make the radial functions R_n = f P_n orthonormal for a measure on distances.

        sum_k w_k R_n(r_k) R_m(r_k) = delta_nm

    The recurrence is that of the Lanczos process for the matrix diag(x(r_k)) and the start vector
    f(r_k) sqrt(w_k), with full re-orthogonalization (W. Gautschi, "Orthogonal Polynomials: Computation and
    Approximation", Oxford 2004, chapter 2). Nodes at or beyond the cutoff do not count.

    Parameters
    ----------
    measure : Measure, or mapping of (str, str) to Measure
        One measure for all ordered pairs of species, or one per pair (a pair given once serves both
        orders).

    Raises
    ------
    TypeError
        If `measure` is neither.
    ValueError
        From `recurrence`: if the measure supports fewer functions than asked for.

    Examples
    --------
    >>> import numpy as np
    >>> family = Orthonormal(Measure([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 1.0, 1.0]))
    >>> family.recurrence(1, coordinates=lambda r: (2 * r / 5 - 1, np.ones_like(r)))
    array([[0.5, 0. , 0. ]])
    """

    measure: Measure | Mapping[tuple[str, str], Measure]

    def __post_init__(self) -> None:
        object.__setattr__(self, "measure", per_pair("measure", self.measure, checked_measure))

    def recurrence(
        self,
        n: int,
        center: str | None = None,
        neighbor: str | None = None,
        coordinates: Coordinates | None = None,
    ) -> np.ndarray:
        n = count("n", n)
        if coordinates is None:
            raise ValueError(
                "coordinates must map distances to x and f, because Orthonormal depends on them; got None. "
                "PolynomialRadialBasis.recurrence supplies it"
            )
        measure = value_at("measure", self.measure, center, neighbor)
        x, f = coordinates(measure.nodes)
        try:
            return lanczos(x, measure.weights * f**2, n)
        except ValueError as error:
            pair = "" if center is None else f" of the pair {center}-{neighbor}"
            raise ValueError(f"{measure}{pair}: {error}") from None


def checked_measure(name: str, value: object) -> Measure:
    """The value itself, if it is a Measure; a TypeError says what it is otherwise."""
    if not isinstance(value, Measure):
        raise TypeError(f"{name} must be a Measure(nodes, weights); got {value!r}")
    return value


def lanczos(x: np.ndarray, weights: np.ndarray, n: int) -> np.ndarray:
    """Return the recurrence (n, 3) of the polynomials orthonormal for sum_k weights[k] delta(x - x[k]).

    The vectors v_n[k] = sqrt(weights[k]) P_n(x[k]) are the Lanczos vectors of diag(x):

        beta_n v_n = x v_{n-1} - alpha_{n-1} v_{n-1} - beta_{n-1} v_{n-2}

    so that A_n = 1/beta_n, B_n = -alpha_{n-1}/beta_n, C_n = -beta_{n-1}/beta_n.

    Raises
    ------
    ValueError
        If fewer than n polynomials are independent on the nodes, to half of the digits of float64.
    """
    total = weights.sum()
    if not total > 0:
        raise ValueError("it has no weight inside the cutoff")
    root = np.sqrt(weights)
    vectors = np.zeros((n, len(x)))
    vectors[0] = root / np.sqrt(total)
    table = np.zeros((n, 3))
    table[0, 0] = 1.0 / np.sqrt(total)
    previous = 0.0
    for k in range(1, n):
        step = x * vectors[k - 1]
        alpha = step @ vectors[k - 1]
        for _ in range(2):  # "twice is enough": the second pass removes what rounding left in the first
            step -= (vectors[:k] @ step) @ vectors[:k]
        beta = np.sqrt(step @ step)
        if beta < SMALLEST_STEP:
            raise ValueError(f"it supports only {k} independent functions inside the cutoff, {n} were asked for")
        vectors[k] = step / beta
        table[k] = (1.0 / beta, -alpha / beta, -previous / beta)
        previous = beta
    # The recurrence is what the kernel runs, without re-orthogonalization; with nearly as many functions as
    # nodes it can be unstable even though the vectors are fine.
    values = root * evaluate_recurrence(table, x)
    loss = np.abs(values @ values.T - np.eye(n)).max()
    if not loss < GRAM_TOLERANCE:
        raise ValueError(f"{n} functions are too many for it: rounding spoils orthonormality by {loss:.0e}")
    return table


def evaluate_recurrence(recurrence: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return P_n(x) from (*), shape (n, len(x))."""
    values = np.zeros((len(recurrence) + 1, len(x)))  # one row more: C_1 P_{-1} reads zeros at the end
    values[0] = recurrence[0, 0]
    for k in range(1, len(recurrence)):
        a, b, c = recurrence[k]
        values[k] = (a * x + b) * values[k - 1] + c * values[k - 2]
    return values[:-1]


def chebyshev_coefficients(recurrence: ArrayLike) -> np.ndarray:
    """Return the lower-triangular matrix T of P_n = sum_k T[n, k] T_k(x), with T_k those of Chebyshev.

    Uses x T_k = (T_{k+1} + T_{|k-1|})/2 in each step of the recurrence.

    Parameters
    ----------
    recurrence : (n, 3) array_like of float64
        Coefficients (A, B, C) of (*).

    Returns
    -------
    T : (n, n) array of float64

    Raises
    ------
    TypeError, ValueError
        If `recurrence` is no (n, 3) array of finite numbers with n >= 1.

    Examples
    --------
    >>> chebyshev_coefficients([[1, 0, 0], [1, 0, 0], [1.5, 0, -0.5]])  # Legendre, P_2 = (3x^2 - 1)/2
    array([[1.  , 0.  , 0.  ],
           [0.  , 1.  , 0.  ],
           [0.25, 0.  , 0.75]])
    """
    table = real_array("recurrence", recurrence, (None, 3))
    n = count("len(recurrence)", len(table))
    T = np.zeros((n, n))
    T[0, 0] = table[0, 0]
    for k in range(1, n):
        last = T[k - 1]
        shifted = np.zeros(n)  # coefficients of x P_{k-1}
        shifted[1:] += last[:-1] / 2
        shifted[:-1] += last[1:] / 2
        shifted[1] += last[0] / 2  # x T_0 = T_1, not T_1/2
        a, b, c = table[k]
        T[k] = a * shifted + b * last + (c * T[k - 2] if k > 1 else 0.0)
    return T
