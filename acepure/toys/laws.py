"""Laws of a particle on [−1, 1]: exact means of polynomials, and random samples.

law         density              orthogonal polynomials
uniform     1 / 2                Legendre
arcsine     1 / (π √(1 − x²))    Chebyshev
"""

from __future__ import annotations

from math import comb, sqrt

import numpy as np

from acepure._utils.checks import count, one_of

FAMILIES = ("chebyshev", "legendre")
LAWS = ("uniform", "arcsine")
#: The law for which a family is orthogonal.
OWN_LAW = {"chebyshev": "arcsine", "legendre": "uniform"}


def resolved_law(family: str, law: str | None) -> str:
    """Return the law, by default the own one of the family."""
    one_of("family", family, FAMILIES)
    return OWN_LAW[family] if law is None else one_of("law", law, LAWS)


def norms(family: str, degree: int) -> np.ndarray:
    """Return 1 / √E[P_v²] under the family's own law for v = 0 ... degree: what makes P_v orthonormal."""
    if family == "chebyshev":
        return np.array([1.0] + [sqrt(2.0)] * degree)
    return np.sqrt(2.0 * np.arange(degree + 1) + 1.0)


def mean_values(family: str, law: str, degree: int) -> np.ndarray:
    """Return E[P_v(x)] for v = 0 ... degree, polynomials not normalized.

    Chebyshev under the uniform law: 1 / (1 − v²); Legendre under the arcsine law: (v choose v/2)² / 4^v; both for even
    v.  Everything else is zero but for v = 0.

    Parameters
    ----------
    family : {"chebyshev", "legendre"}
    law : {"uniform", "arcsine"}
    degree : int

    Returns
    -------
    numpy.ndarray of float64, shape (degree + 1,)

    Examples
    --------
    >>> mean_values("legendre", "arcsine", 4)
    array([1.      , 0.      , 0.25    , 0.      , 0.140625])
    """
    means = np.zeros(degree + 1)
    means[0] = 1.0
    if law != OWN_LAW[family]:
        for v in range(2, degree + 1, 2):
            means[v] = 1.0 / (1 - v * v) if family == "chebyshev" else comb(v, v // 2) ** 2 / 4**v
    return means


def random_particles(n_samples: int, n_particles: int, law: str = "uniform", seed: int = 0) -> np.ndarray:
    """Return independent particles of a law.

    Parameters
    ----------
    n_samples, n_particles : int
    law : {"uniform", "arcsine"}
    seed : int
        Of the random numbers.

    Returns
    -------
    numpy.ndarray of float64, shape (n_samples, n_particles)
        In [−1, 1].

    Examples
    --------
    >>> x = random_particles(1000, 4, "arcsine", seed=1)
    >>> bool(abs((2 * x**2 - 1).mean()) < 0.05)  # E[T_2] = 0
    True
    """
    shape = count("n_samples", n_samples), count("n_particles", n_particles)
    one_of("law", law, LAWS)
    numbers = np.random.default_rng(count("seed", seed, least=0)).uniform(-1.0, 1.0, size=shape)
    return numbers if law == "uniform" else np.sin(0.5 * np.pi * numbers)
