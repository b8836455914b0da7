"""Messages over pairwise distinct neighbors, and messages that do not turn back: the formulas, exact.

Of one channel, with φ_lm(j) = R_l(j) Y_lm(r̂_ij), R_l(j) any numbers of the pair, and A_lm = Σ_j φ_lm(j), the message is
a polynomial of order 2 or 3 without a constant,

    p(A) = w_0 A_00 + Σ_l w_l |A_l|²/√(2l+1) + Σ_t w_t C_t(A_l1, A_l2, A_l3),      t = (l1 ≤ l2 ≤ l3),

C_t = G_t/√N_t, G_t the integral of three real harmonics and N_t the sum of its squares. That is the self-interacting
message, p(A), in which a neighbor meets itself. The sum over pairwise distinct neighbors follows from set partitions;
and because harmonics of one direction multiply by G_t, weights can be summed for each pair before anything is pooled:

    s2  = Σ_l w_l/√(2l+1) · (2l+1)/4π · R_l²                               s3 = ⅓ Σ_l q_l R_l (2l+1)/4π
    q_l = Σ_t Σ_{positions of l in t} w_t √N_t/(2l+1) · R_a R_b            Q_lm = Σ_j q_l Y_lm

    m = p(A) − Σ_j s2 − Σ_lm Q_lm A_lm + 2 Σ_j s3

where a, b are the other two positions. The same message without one neighbor needs dot products with what the node has:

    m∖j = m − Σ_lm R_l Y_lm (∂p/∂A_lm − Q_lm) + 2 Σ_lm q_l Y_lm A_lm + 2 s2 − 6 s3

Arrays are dense: C centers, J neighbors of each at most, K channels. Neighbors that fill up have R = 0, which adds 0 to
every sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from math import pi, sqrt
from typing import NamedTuple

import numpy as np

from acepure._utils.checks import count
from acepure.algebra.coupling import gaunt_product
from acepure.layers._torch import Tensor, torch

__all__ = ["Message", "MessageTerms"]


class _Triple(NamedTuple):
    """A term of order three: degrees, C_t of shape (2 l1 + 1, 2 l2 + 1, 2 l3 + 1), and √N_t."""

    ls: tuple[int, int, int]
    tensor: np.ndarray
    norm: float


@dataclass(frozen=True)
class MessageTerms:
    """The terms of p, and how one neighbor in several places of a term is counted.

    Parameters
    ----------
    l_max : int
        Largest degree of harmonics, ≥ 0.
    order : int
        2 or 3.

    Examples
    --------
    One term of order 1, four of order 2 and eight of order 3:

    >>> MessageTerms(l_max=3, order=3).n_terms
    13
    """

    l_max: int
    order: int

    def __post_init__(self) -> None:
        count("l_max", self.l_max, least=0)
        if count("order", self.order, least=2) > 3:
            raise ValueError(f"order must be 2 or 3; got {self.order}")

    @cached_property
    def triples(self) -> tuple[_Triple, ...]:
        """The terms of order three."""
        found = []
        for ls in combinations_with_replacement(range(self.l_max + 1), 3 if self.order == 3 else 0):
            if ls and sum(ls) % 2 == 0 and ls[2] <= ls[0] + ls[1]:
                G = gaunt_product(ls[:2])[ls[2]]
                norm = sqrt(float(np.sum(G**2)))
                found.append(_Triple((ls[0], ls[1], ls[2]), G / norm, norm))
        return tuple(found)

    @property
    def n_terms(self) -> int:
        """Number of weights: w_0, w_l, w_t."""
        return 2 + self.l_max + len(self.triples)

    def value(self, A: Sequence[Tensor], w: Tensor) -> Tensor:
        """Return p(A), shape (C, K).

        Parameters
        ----------
        A : sequence of Tensor
            A_l of shape (C, 2l + 1, K), for each l.
        w : Tensor, shape (C, n_terms, K)
        """
        squares = [(a * a).sum(1) for a in A]
        result = w[:, 0] * A[0][:, 0]
        for l, square in enumerate(squares):
            result = result + w[:, 1 + l] * square / sqrt(2 * l + 1)
        for t, (ls, tensor, _) in enumerate(self.triples, 2 + self.l_max):
            if ls[0] == 0:  # A_00 |A_l|²/√(2l + 1)
                result = result + w[:, t] * A[0][:, 0] * squares[ls[1]] / sqrt(2 * ls[1] + 1)
                continue
            a, b, c = (A[l] for l in ls)
            pairs = (a[:, :, None] * b[:, None]).reshape(len(a), -1, a.shape[2])
            coupled = torch.as_tensor(tensor.reshape(-1, tensor.shape[2]).T.copy(), dtype=a.dtype) @ pairs
            result = result + w[:, t] * (coupled * c).sum(1)
        return result

    def same_neighbor(self, R: Sequence[Tensor], w: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """Return s2 (C, J, K), q_l (C, J, K) for each l, and s3 (C, J, K); no q and s3 for order 2.

        Parameters
        ----------
        R : sequence of Tensor
            R_l of shape (C, J, K), for each l.
        w : Tensor, shape (C, n_terms, K)
        """
        w = w[:, :, None]  # the same for all neighbors
        s2 = sum(w[:, 1 + l] * (sqrt(2 * l + 1) / (4 * pi)) * (r * r) for l, r in enumerate(R))
        if not self.triples:
            return s2, [], torch.zeros_like(s2)
        q = [torch.zeros_like(R[0]) for _ in R]
        for t, (ls, _, norm) in enumerate(self.triples, 2 + self.l_max):
            for position, l in enumerate(ls):
                a, b = (R[other] for k, other in enumerate(ls) if k != position)
                q[l] = q[l] + w[:, t] * (norm / (2 * l + 1)) * (a * b)
        s3 = sum((2 * l + 1) / (12 * pi) * (x * r) for l, (x, r) in enumerate(zip(q, R)))
        return s2, q, s3


def pooled(R: Sequence[Tensor], Y: Tensor) -> list[Tensor]:
    """Return Σ_j R_l Y_lm for each l, shape (C, 2l + 1, K)."""
    return [Y[:, :, l * l : (l + 1) ** 2].transpose(1, 2) @ r for l, r in enumerate(R)]


def _dotted(R: Sequence[Tensor], Y: Tensor, node: Sequence[Tensor]) -> Tensor:
    """Return Σ_lm R_l Y_lm node_lm of each pair, (C, J, K)."""
    return sum(r * (Y[:, :, l * l : (l + 1) ** 2] @ x) for l, (r, x) in enumerate(zip(R, node)))


class Message:
    """Messages of centers whose neighbors have the numbers R and the harmonics Y.

    Parameters
    ----------
    terms : MessageTerms
    R : sequence of Tensor
        R_l of shape (C, J, K), for each l.
    Y : Tensor, shape (C, J, (l_max + 1)²)
    w : Tensor, shape (C, n_terms, K)
    canonical : bool
        Neighbors of a term are pairwise distinct; False for p(A).

    Attributes
    ----------
    value : Tensor, shape (C, K)

    Examples
    --------
    One neighbor alone leaves the term of order 1, as it cannot be in two places:

    >>> import torch
    >>> R, Y, w = [torch.tensor([[[2.0]]])], torch.tensor([[[0.2820948]]]), torch.ones(1, 3, 1)
    >>> round(float(Message(MessageTerms(0, 3), R, Y, w, canonical=True).value), 5)  # R Y
    0.56419
    """

    def __init__(self, terms: MessageTerms, R: Sequence[Tensor], Y: Tensor, w: Tensor, canonical: bool) -> None:
        self._R, self._Y = R, Y
        self._A = pooled(R, Y)
        self._p = self.value = terms.value(self._A, w)
        if not canonical:
            return
        self._s2, self._q, self._s3 = terms.same_neighbor(R, w)
        self._Q = pooled(self._q, Y)
        self.value = self.value - (self._s2 - 2 * self._s3).sum(1)
        for a, b in zip(self._Q, self._A):
            self.value = self.value - (a * b).sum(1)

    def without_neighbor(self) -> Tensor:
        """Return the canonical messages of each center without each of its neighbors, (C, J, K).

        R or Y must require gradients: ∂p/∂A is made by automatic differentiation.
        """
        gradient = torch.autograd.grad(self._p.sum(), self._A, create_graph=True)
        node = [g - Q for g, Q in zip(gradient, self._Q)] if self._Q else gradient
        result = self.value[:, None] - _dotted(self._R, self._Y, node) + 2 * self._s2 - 6 * self._s3
        return result + 2 * _dotted(self._q, self._Y, self._A) if self._q else result
