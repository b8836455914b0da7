"""The stages one by one, for arrays of centers: sums A of a neighbor list, and maps from sums to products to features.

Each has its value, its pushforward along a direction and its pullback of cotangents.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from acepure._kernels import evaluator as kernel
from acepure._utils.checks import real_array
from acepure._utils.threads import resolve_num_threads, useful_threads
from acepure.labels.factors import ProductSet
from acepure.neighbors.environments import Chosen
from acepure.stages.fused import PairGeometry, forward_contraction, reverse_contraction

__all__ = ["ProductMap", "SumsEvaluator"]

Motion = tuple[np.ndarray, np.ndarray]

_NOTHING = np.empty((0, 0))


class SumsEvaluator:
    """Sums A of the centers of a neighbor list, less the means of a reference.

    Parameters
    ----------
    geometry : PairGeometry
    """

    def __init__(self, geometry: PairGeometry) -> None:
        self._geometry = geometry

    def evaluate(
        self, chosen: Chosen, out: np.ndarray, motion: Motion | None = None, derivatives: np.ndarray | None = None
    ) -> None:
        """Write A, and Ȧ along a motion if one is given.

        Parameters
        ----------
        chosen : Chosen
        out, derivatives : numpy.ndarray of float64, shape (n_centers, n_one_particle)
        motion : tuple of numpy.ndarray, shapes (n_atoms, 3) and (3, 3), optional
            w and ε of ṙ_ij = w_j − w_i + ε r_ij.
        """
        neighbors = chosen.neighbors
        for centers, pairs, part in self._geometry.parts(chosen, motion is not None):
            moved = _NOTHING
            if motion is not None and derivatives is not None:
                part.move(neighbors.centers[centers], neighbors.neighbors[pairs], *motion)
                moved = derivatives[centers]
            kernel.pool(self._geometry.pooling, part, out[centers], moved, chosen.threads)

    def pullback(self, chosen: Chosen, cotangents: np.ndarray) -> np.ndarray:
        """Return Σ_v g_iv ∂A_v(i)/∂r_ij, shape (n_pairs, 3).

        Parameters
        ----------
        chosen : Chosen
        cotangents : numpy.ndarray of float64, shape (n_centers, n_one_particle)
        """
        gradients = np.zeros((chosen.neighbors.n_pairs, 3))
        for centers, pairs, part in self._geometry.parts(chosen, True):
            kernel.pull(self._geometry.pooling, part, cotangents[centers], gradients[pairs], chosen.threads)
        return gradients


class ProductMap:
    """x ↦ (P ⊗ 1) C Π(x) of every center: products of numbers, then sparse operators.

    Parameters
    ----------
    products : ProductSet
        Products of x that the columns of C belong to.
    C : scipy.sparse.csr_array, shape (n_rows, n_products)
    P : scipy.sparse.csr_array, shape (n_out / width, n_rows / width), optional
    width : int
        Number of components that P leaves apart.
    """

    def __init__(self, products: ProductSet, C: csr_array, P: csr_array | None = None, width: int = 1) -> None:
        self.n_in = len(products.one_particle)
        self.n_out = int(C.shape[0] if P is None else P.shape[0] * width)
        self._forward = forward_contraction(products, C, P, width)
        self._reverse = reverse_contraction(products, C, P, width)

    def evaluate(self, x: ArrayLike, *, num_threads: int | None = None) -> np.ndarray:
        """Return the values, shape (n_centers, n_out).

        Parameters
        ----------
        x : array_like of float64, shape (n_centers, n_in)
        num_threads : int, optional
        """
        return self._contract(real_array("x", x, (None, self.n_in)), _NOTHING, num_threads)[0]

    def jvp(
        self, x: ArrayLike, tangents: ArrayLike, *, num_threads: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the values and Σ_v ∂out_f/∂x_v ẋ_v, both of shape (n_centers, n_out).

        Parameters
        ----------
        x, tangents : array_like of float64, shape (n_centers, n_in)
            x and ẋ.
        num_threads : int, optional
        """
        x = real_array("x", x, (None, self.n_in))
        return self._contract(x, real_array("tangents", tangents, x.shape), num_threads)

    def pullback(self, x: ArrayLike, cotangents: ArrayLike, *, num_threads: int | None = None) -> np.ndarray:
        """Return Σ_f g_f ∂out_f/∂x_v, shape (n_centers, n_in).

        Parameters
        ----------
        x : array_like of float64, shape (n_centers, n_in)
        cotangents : array_like of float64, shape (n_centers, n_out)
            g.
        num_threads : int, optional
        """
        x = real_array("x", x, (None, self.n_in))
        g = real_array("cotangents", cotangents, (len(x), self.n_out))
        result = np.empty_like(x)
        threads = useful_threads(len(x), resolve_num_threads(num_threads))
        self._reverse.pullback_sums(np.arange(len(x)), x, g, result, threads)
        return result

    def _contract(self, x: np.ndarray, tangents: np.ndarray, num_threads: int | None) -> tuple[np.ndarray, np.ndarray]:
        values = np.empty((len(x), self.n_out))
        derivatives = np.empty_like(values) if tangents.size else np.empty((0, self.n_out))
        threads = useful_threads(len(x), resolve_num_threads(num_threads))
        self._forward.evaluate_sums(np.arange(len(x)), x, tangents, values, derivatives, threads)
        return values, derivatives
