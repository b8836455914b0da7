"""How much of plain features is self-interaction: ‖B_self − B_canonical‖ / ‖B_self‖, by feature and by order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from acepure._utils.threads import resolve_num_threads
from acepure.diagnostics.environments import chosen_centers, feature_rows
from acepure.diagnostics.orders import feature_orders
from acepure.features.basis import ACEBasis, check_basis


@dataclass(frozen=True, eq=False)
class SelfInteraction:
    """Plain features compared with canonical ones; printed, it is a table.

    Attributes
    ----------
    differences : numpy.ndarray, shape (n_features,)
        Root mean square of B_self − B_canonical over the environments.
    sizes : numpy.ndarray, shape (n_features,)
        Root mean square of B_self.
    n_environments : int
    labels : tuple
        Names of the features.
    orders : numpy.ndarray of int, shape (n_features,)
        Correlation order of each feature.
    """

    differences: np.ndarray
    sizes: np.ndarray
    n_environments: int
    labels: tuple[Any, ...]
    orders: np.ndarray

    @property
    def by_feature(self) -> np.ndarray:
        """differences / sizes, shape (n_features,); 0 for features that are 0."""
        return self.differences / np.where(self.sizes > 0, self.sizes, 1.0)

    @property
    def by_order(self) -> dict[int, float]:
        """Correlation order ν → ‖B_self − B_canonical‖ / ‖B_self‖ over all environments and features of that order."""
        shares = {}
        for order in np.unique(self.orders).tolist():
            chosen = self.orders == order
            size = np.linalg.norm(self.sizes[chosen])
            shares[order] = float(np.linalg.norm(self.differences[chosen]) / size) if size else 0.0
        return shares

    def __str__(self) -> str:
        by_feature = self.by_feature
        lines = [
            f"self-interaction in {len(self.labels)} plain features, {self.n_environments:,} environments",
            "",
            f"{'':10}{'features':>9}{'all':>11}{'median':>11}{'largest':>11}",
        ]
        for order, share in self.by_order.items():
            single = by_feature[self.orders == order]
            numbers = "".join(f"{100 * value:9.1f} %" for value in (share, np.median(single), single.max()))
            lines.append(f"{f'ν = {order}':10}{len(single):9}{numbers}")
        return "\n".join(lines)


def self_interaction(
    basis: ACEBasis,
    structures: Iterable[Atoms],
    *,
    indices: Iterable[Any] | None = None,
    atoms_per_structure: int | None = None,
    seed: int = 0,
    num_threads: int | None = None,
    progress: bool | None = None,
) -> SelfInteraction:
    """Compare a canonical basis with the self-interacting one of the same functions.

    Features are held for one structure at a time.

    Parameters
    ----------
    basis : ACEBasis
        Canonical. The other basis has the same functions, radial functions and reference, with canonical=False.
    structures, indices, atoms_per_structure, seed, num_threads, progress
        As in `conditioning`.

    Raises
    ------
    ValueError
        For a structure that does not belong to the basis.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from acepure import ACEBasis
    >>> result = self_interaction(ACEBasis(["H"], order=2, totaldegree=4), molecule("H2"))
    >>> {order: round(share, 12) for order, share in result.by_order.items()}
    {1: 0.0, 2: 1.0}
    """
    check_basis(basis)
    if not basis.canonical:
        raise ValueError("basis is self-interacting; one with canonical=True is needed")
    plain = ACEBasis.from_dict({**basis.to_dict(), "canonical": False})
    threads = resolve_num_threads(num_threads)
    centers = chosen_centers(
        structures,
        indices=indices,
        atoms_per_structure=atoms_per_structure,
        seed=seed,
        progress=progress,
        description="self-interaction",
    )
    squares, n_environments = np.zeros((2, len(basis))), 0
    for number, atoms, chosen in centers:
        own = feature_rows(plain, number, atoms, chosen, threads)
        squares[0] += np.sum((own - feature_rows(basis, number, atoms, chosen, threads)) ** 2, axis=0)
        squares[1] += np.sum(own**2, axis=0)
        n_environments += len(own)
    if not n_environments:
        raise ValueError("no environments: indices chooses no atom of any structure")
    differences, sizes = np.sqrt(squares / n_environments)
    return SelfInteraction(differences, sizes, n_environments, tuple(basis.labels), feature_orders(basis))
