"""Layers of messages: from radial functions and harmonics of pairs to site energies.

    R_kl(ij)  = Σ_n W^{z_i z_j}_{n l k} g_n(r_ij)          φ_k,lm(j) = h_k(j) R_kl(ij) Y_lm(r̂_ij)
    m_k(i)    = message of channel k, with weights w of the species of i; layer 1 has h = 1
    h_k(j)    = h0_{z_j k} + Σ_k' U^{z_j}_{k k'} m_k'(j)                        (layer 2)
    E_i       = Σ_layers Σ_k c_{z_i k} m_k(i)

There is no constant: the energy of an isolated atom is 0 to the last bit. In "no-backtracking" networks a neighbor j
tells atom i a message that it made without i.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

import numpy as np

from acepure._utils.checks import check_kind, count
from acepure._utils.read_only import read_only_array
from acepure.layers._torch import Tensor, torch
from acepure.layers.geometry import Batch
from acepure.layers.message import Message, MessageTerms

__all__ = ["Architecture", "Network"]

SIBLINGS, NO_BACKTRACKING = "siblings", "no-backtracking"
# Standard deviation of the update at the start, the messages being of order one.
_UPDATE = 0.3
#: That of c, times the root of the number of channels.
READ_OUT = 0.1


@dataclass(frozen=True)
class Architecture:
    """Sizes of a network, and which sums over neighbors its messages are.

    Parameters
    ----------
    n_layers : int
        1 or 2.
    channels : int
        K, products of radial functions that are trained, side by side.
    l_max : int
        Largest degree of harmonics.
    order : int
        Most neighbors in one message: 2 or 3.
    n_radial : int
        Radial functions that each channel combines.
    canonical : {"siblings", "no-backtracking", False}
        Neighbors of a message are pairwise distinct; and no walk from an atom returns to it; or neither, as in MACE.
    pair_term : bool
        False takes the energy of two atoms alone out of the network. It needs "no-backtracking", or one layer of
        "siblings": others have no pair term that could be told from the rest.

    Examples
    --------
    >>> Architecture(n_layers=2, channels=8).n_terms
    9
    """

    n_layers: int = 2
    channels: int = 16
    l_max: int = 2
    order: int = 3
    n_radial: int = 8
    canonical: str | bool = SIBLINGS
    pair_term: bool = True

    def __post_init__(self) -> None:
        if count("layers", self.n_layers) > 2:
            raise ValueError(f"layers must be 1 or 2; got {self.n_layers}")
        count("channels", self.channels)
        count("n_radial", self.n_radial)
        MessageTerms(self.l_max, self.order)  # raises
        if self.canonical is not False and self.canonical not in (SIBLINGS, NO_BACKTRACKING):
            raise ValueError(f'canonical must be "siblings", "no-backtracking" or False; got {self.canonical!r}')
        if self.canonical == NO_BACKTRACKING and self.n_layers == 1:
            raise ValueError('canonical="no-backtracking" needs layers=2: one layer has no walks; use "siblings"')
        if not isinstance(self.pair_term, bool):
            raise TypeError(f"pair_term must be True or False; got {self.pair_term!r}")
        if not self.pair_term and not self.has_pair_term:
            raise ValueError('pair_term=False needs canonical="no-backtracking", or one layer with "siblings"')

    @property
    def terms(self) -> MessageTerms:
        """The terms of a message."""
        return MessageTerms(self.l_max, self.order)

    @property
    def n_terms(self) -> int:
        """Number of terms of a message."""
        return self.terms.n_terms

    @property
    def reverse(self) -> bool:
        """Whether messages leave out the one who listens."""
        return self.canonical == NO_BACKTRACKING

    @property
    def has_pair_term(self) -> bool:
        """Whether the energy of two atoms alone is a part of every other energy."""
        return self.reverse or (self.canonical == SIBLINGS and self.n_layers == 1)

    def shapes(self, n_species: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of each array of a network."""
        K, L, N, Z = self.channels, self.l_max + 1, self.n_radial, n_species
        shapes: dict[str, tuple[int, ...]] = {"whitening": (Z * Z, N, N)}
        for t in range(1, self.n_layers + 1):
            shapes |= {f"W{t}": (Z * Z, N, L, K), f"w{t}": (Z, self.n_terms, K), f"c{t}": (Z, K)}
        return shapes | ({"h0": (Z, K), "U": (Z, K, K)} if self.n_layers == 2 else {})

    def random(self, n_species: int, neighbors: float, seed: int) -> dict[str, np.ndarray]:
        """Return arrays to start from, but for whitening; sums over so many `neighbors` are of order one."""
        rng, shapes = np.random.default_rng(seed), self.shapes(n_species)
        shapes.pop("whitening")
        arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        smooth = 1 / (1 + np.arange(self.n_radial))
        smooth *= sqrt(4 * pi / max(neighbors, 1.0)) / np.linalg.norm(smooth)
        for t in range(1, self.n_layers + 1):
            arrays[f"W{t}"] *= smooth[:, None, None]
            arrays[f"W{t}"][:, :, 0] /= sqrt(max(neighbors, 1.0))  # sums of l = 0 do not cancel
            arrays[f"w{t}"] /= sqrt(self.n_terms)
            arrays[f"c{t}"] *= READ_OUT / sqrt(self.channels)
        if self.n_layers == 2:
            arrays["h0"][:] = 1.0
            arrays["U"] *= _UPDATE / sqrt(self.channels)
        return arrays


class Network:
    """An architecture with its arrays, which are NumPy's: tables of any other program can be made from them.

    Parameters
    ----------
    architecture : Architecture
    n_species : int
    arrays : mapping of str to numpy.ndarray
        whitening, W1, w1, c1, and of two layers W2, w2, c2, h0, U; shapes as `Architecture.shapes` says.

    Raises
    ------
    TypeError, ValueError
        For what is no architecture, and for arrays that are missing, or of another shape.

    Examples
    --------
    >>> architecture = Architecture(n_layers=1, channels=2, l_max=1)
    >>> arrays = architecture.random(1, neighbors=40.0, seed=0) | {"whitening": np.eye(8)[None]}
    >>> Network(architecture, 1, arrays).arrays["W1"].shape  # pair of species, n, l, channel
    (1, 8, 2, 2)
    """

    def __init__(self, architecture: Architecture, n_species: int, arrays: Mapping[str, Any]) -> None:
        self.architecture = check_kind("architecture", architecture, Architecture)
        self.n_species = count("n_species", n_species)
        check_kind("arrays", arrays, Mapping)
        shapes = architecture.shapes(n_species)
        if set(arrays) != set(shapes):
            raise ValueError(f"a network of this architecture has the arrays {', '.join(shapes)}; got {sorted(arrays)}")
        self.arrays = {name: read_only_array(name, arrays[name], shape) for name, shape in shapes.items()}

    def messages(self, parameters: Mapping[str, Tensor], batch: Batch) -> list[Tensor]:
        """Return the messages of each layer, shape (n_atoms, K), without what is the pair term's where it is left out.

        Parameters
        ----------
        parameters : mapping of str to Tensor
            Arrays, but for whitening.
        batch : Batch
        """
        architecture, z = self.architecture, batch.species
        canonical = architecture.canonical is not False
        R = self._radial(parameters["W1"], batch)
        w = parameters["w1"][z]
        first = Message(architecture.terms, R, batch.Y, w, canonical)
        if architecture.n_layers == 1:
            return [self._completed(first.value, R, batch, w)]
        R2 = self._radial(parameters["W2"], batch)
        w2 = parameters["w2"][z]
        told = first.without_neighbor() if architecture.reverse else first.value[:, None]
        h = parameters["h0"][z][:, None] + told @ parameters["U"][z].transpose(1, 2)
        heard = h.reshape(-1, h.shape[2])[batch.reverse if architecture.reverse else batch.neighbors]
        heard = heard.reshape(*batch.shape, -1)
        second = Message(architecture.terms, [heard * r for r in R2], batch.Y, w2, canonical)
        alone = parameters["h0"][z][batch.neighbors].reshape(heard.shape)
        return [self._completed(first.value, R, batch, w), self._completed(second.value, [alone * R2[0]], batch, w2)]

    def _completed(self, value: Tensor, R: list[Tensor], batch: Batch, w: Tensor) -> Tensor:
        """Take the messages of two atoms alone out, if they are not wanted."""
        if self.architecture.pair_term:
            return value
        return value - w[:, 0] * (R[0] * batch.Y[:, :, :1]).sum(1)

    def energies(self, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Return E_i, shape (n_atoms,)."""
        found = self.messages(parameters, batch)
        return sum((parameters[f"c{t}"][batch.species] * m).sum(1) for t, m in enumerate(found, 1))

    def _radial(self, W: Tensor, batch: Batch) -> list[Tensor]:
        """R_l of shape (n_atoms, J, K), for each l."""
        N, L, K = W.shape[1:]
        parts = [batch.g[a:b] @ W[kind].reshape(N, L * K) for kind, a, b in batch.bounds]
        rows = torch.cat([*parts, torch.zeros((1, L * K), dtype=W.dtype)])
        dense = rows.reshape(-1, L, K).transpose(0, 1).index_select(1, batch.dense)
        return list(dense.reshape(L, *batch.shape, K))

    def tensors(self, dtype: Tensor) -> dict[str, Tensor]:
        """Return the arrays that are trained."""
        return {name: torch.tensor(a, dtype=dtype) for name, a in self.arrays.items() if name != "whitening"}
