"""Spherical components of vectors and 3 × 3 tensors to Cartesian ones, and back; orthonormal both ways.

    vector         1o              (x, y, z) from M = −1, 0, 1 = (y, z, x)
    symmetric      0e + 2e         S = s 1/√3 + Σ_M t_M E^M,       Y_2M = √(15/8π) r̂ᵀ E^M r̂
    antisymmetric  1e              w_c = Σ_ab ε_abc A_ab / √2
    matrix         0e + 1e + 2e    the sum of the last two

so that the Frobenius norm of a tensor is the norm of its components.
"""

from __future__ import annotations

from functools import cache
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from acepure._utils.checks import real_array

#: Name of a rank → the irreps it is made of, in the order of their components.
RANKS = {
    "scalar": ("0e",),
    "vector": ("1o",),
    "pseudovector": ("1e",),
    "symmetric": ("0e", "2e"),
    "antisymmetric": ("1e",),
    "matrix": ("0e", "1e", "2e"),
}
_SYNONYMS = {"0e": "scalar", "1o": "vector", "1e": "pseudovector", "0e+2e": "symmetric", "0e+1e+2e": "matrix"}
# The part of a symmetric tensor that may be antisymmetric, of its largest entry, as files round.
_ASYMMETRY = 1e-6

# e3nn: Y_lm(x, y, z) = Y_lm of the usual convention at (z, x, y).
_CYCLE = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def resolve_rank(rank: str) -> str:
    """Return the name of a rank from its name or from irreps, such as "0e+2e".

    Raises
    ------
    TypeError, ValueError
        For anything else.

    Examples
    --------
    >>> resolve_rank("0e+2e"), resolve_rank("vector")
    ('symmetric', 'vector')
    """
    if not isinstance(rank, str):
        raise TypeError(f'rank must be a name such as "vector" or "0e+2e"; got {rank!r}')
    name = _SYNONYMS.get(rank.replace(" ", ""), rank)
    if name not in RANKS:
        raise ValueError(f"rank must be one of {', '.join([*RANKS, *_SYNONYMS])}; got {rank!r}")
    return name


def to_cartesian(values: ArrayLike, rank: str = "vector", *, convention: str = "acepure") -> np.ndarray:
    """Return Cartesian tensors from spherical components.

    Parameters
    ----------
    values : array_like, shape (..., n_components)
        Components M = −L..L, for several irreps one behind the other: 3 of a vector or an antisymmetric matrix, 1 + 5
        of a symmetric matrix, 1 + 3 + 5 of a matrix.
    rank : str
        "vector", "pseudovector", "symmetric", "antisymmetric", "matrix", "scalar", or irreps as "1o" and "0e+2e".
    convention : {"acepure", "e3nn"}
        Which axis is polar: z, or y as in e3nn, whose Y_lm(x, y, z) is the usual one at (z, x, y).

    Returns
    -------
    numpy.ndarray, shape (..., 3) or (..., 3, 3); (...) for scalars
        x, y, z.

    Raises
    ------
    TypeError, ValueError
        For an unknown rank or convention, and for another number of components.

    Examples
    --------
    >>> to_cartesian([2.0, 3.0, 1.0])
    array([1., 2., 3.])
    >>> to_cartesian([3**0.5, 0, 0, 0, 0, 0], "symmetric").round(12)
    array([[1., 0., 0.],
           [0., 1., 0.],
           [0., 0., 1.]])
    """
    name = resolve_rank(rank)
    matrix = _components(name, _checked(convention))
    array = np.asarray(values)
    if array.ndim == 0 or array.shape[-1] != len(matrix):
        raise ValueError(f"values of rank {name!r} must have the shape (..., {len(matrix)}); got {array.shape}")
    array = real_array("values", array, array.shape)
    return (array @ matrix).reshape(array.shape[:-1] + cartesian_shape(name))


def from_cartesian(tensors: ArrayLike, rank: str = "vector", *, convention: str = "acepure") -> np.ndarray:
    """Return spherical components of Cartesian tensors: the inverse of `to_cartesian`.

    Parameters
    ----------
    tensors : array_like, shape (..., 3) or (..., 3, 3); (...) for scalars
    rank, convention
        As for `to_cartesian`.

    Returns
    -------
    numpy.ndarray, shape (..., n_components)

    Raises
    ------
    TypeError, ValueError
        For an unknown rank or convention, another shape, and matrices that are not as symmetric as their rank.

    Examples
    --------
    >>> from_cartesian([1.0, 2.0, 3.0])
    array([2., 3., 1.])
    >>> from_cartesian([[0, 1, 0], [-1, 0, 0], [0, 0, 0]], "antisymmetric").round(6)  # along z
    array([0.      , 1.414214, 0.      ])
    """
    name = resolve_rank(rank)
    matrix, shape = _components(name, _checked(convention)), cartesian_shape(name)
    array = np.asarray(tensors)
    if array.shape[array.ndim - len(shape) :] != shape or array.ndim < len(shape):
        raise ValueError(f"tensors of rank {name!r} must end in the shape {shape}; got {array.shape}")
    array = real_array("tensors", array, array.shape) if array.ndim else np.asarray(array, dtype=float)
    flat = array.reshape(*array.shape[: array.ndim - len(shape)], matrix.shape[1])
    values: np.ndarray = flat @ matrix.T
    left = np.abs(flat - values @ matrix).max(initial=0.0)
    if left > _ASYMMETRY * np.abs(flat).max(initial=0.0):
        raise ValueError(f"tensors must be {name}; a part of {left:.3g} is not")
    return values


def _checked(convention: str) -> str:
    if convention not in ("acepure", "e3nn"):
        raise ValueError(f'convention must be "acepure" or "e3nn"; got {convention!r}')
    return convention


def cartesian_shape(rank: str) -> tuple[int, ...]:
    """Return the shape of one Cartesian tensor of a rank, given by its name."""
    return {"scalar": (), "vector": (3,), "pseudovector": (3,)}.get(rank, (3, 3))


@cache
def _components(name: str, convention: str) -> np.ndarray:
    """The Cartesian tensor of each component, flattened, in rows; orthonormal."""
    eye = np.eye(3)
    x, y, z = eye
    if name == "scalar":
        return np.ones((1, 1))
    vectors = np.array([y, z, x])
    if name in ("vector", "pseudovector"):
        tensors = vectors
    else:
        tensors = np.concatenate([_MATRICES[irrep](vectors) for irrep in RANKS[name]])
    if convention == "e3nn":
        tensors = tensors @ _CYCLE if tensors.ndim == 2 else np.einsum("ca,kcd,db->kab", _CYCLE, tensors, _CYCLE)
    tensors = tensors.reshape(len(tensors), -1)
    tensors.flags.writeable = False
    return tensors


def _trace(vectors: np.ndarray) -> np.ndarray:
    return np.eye(3)[None] / sqrt(3)


def _cross(vectors: np.ndarray) -> np.ndarray:
    epsilon = np.cross(np.eye(3)[:, None], np.eye(3)[None])  # ε_abc
    return np.einsum("abc,kc->kab", epsilon, vectors) / sqrt(2)


def _traceless(vectors: np.ndarray) -> np.ndarray:
    y, z, x = vectors

    def pair(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (np.outer(a, b) + np.outer(b, a)) / sqrt(2)

    diagonals = np.diag([-1.0, -1.0, 2.0]) / sqrt(6), np.diag([1.0, -1.0, 0.0]) / sqrt(2)
    return np.array([pair(x, y), pair(y, z), diagonals[0], pair(x, z), diagonals[1]])


_MATRICES = {"0e": _trace, "1e": _cross, "2e": _traceless}
