"""The stages of a basis one by one, for the centers of one species: pairs → A → AA → B."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike
from scipy.sparse import csr_array, eye_array

from acepure._kernels.forces import accumulate_forces
from acepure._utils.checks import real_array
from acepure.errors import SpeciesError
from acepure.features.basis import ACEBasis, check_basis
from acepure.labels.factors import OneParticle, ProductSet
from acepure.neighbors.environments import Chosen, Environments
from acepure.neighbors.lists import NeighborList
from acepure.stages.single import ProductMap, SumsEvaluator

__all__ = ["Stages"]


class Stages:
    """The stages of a basis one by one, for the centers of one species.

        A_v(i) = Σ_j φ_v(r_ij) − μ_v,      AA_k = Π_t A_{k_t},      B = P_B C_ext AA

    with μ = 0 unless the basis is centered. Each stage has its value, its derivative along a direction (`jvp`) and
    its transpose (`pullback`); arrays of one stage go into the next. `ACEBasis.descriptors`, `jvp` and `pullback` run
    through all stages without storing any, and are faster: take these for maps of your own between stages.

    Parameters
    ----------
    basis : ACEBasis
    center : str
        Chemical symbol of the centers.

    Notes
    -----
    Features with L > 0 are columns by feature and M, (n_centers, n_features (2L + 1)).

    Raises
    ------
    TypeError, ValueError
        For a center that is not among the species of the basis.

    Examples
    --------
    >>> from ase.build import bulk
    >>> atoms, basis = bulk("Cu", cubic=True), ACEBasis(["Cu"], order=2, totaldegree=4)
    >>> stages = Stages(basis, "Cu")
    >>> A = stages.sums(atoms)
    >>> A.shape, stages.one_particle[0]
    ((4, 24), OneParticle(l=0, z=0, q=(1, 0), m=0))
    >>> B = stages.contraction.evaluate(stages.products.evaluate(A))
    >>> bool(np.allclose(B, basis.descriptors(atoms), rtol=1e-12, atol=1e-12))
    True
    """

    def __init__(self, basis: ACEBasis, center: str) -> None:
        check_basis(basis, tensors=True)
        self._operators = basis.operators(center)
        self._basis, self._center = basis, center
        self._z = basis.species.index(center)
        group = next(i for i, group in enumerate(basis._groups) if self._z in group.species)
        self._sums = SumsEvaluator(basis._tables.geometries[group])

    def __repr__(self) -> str:
        return f"Stages({self._basis!r}, {self._center!r})"

    @property
    def one_particle(self) -> tuple[OneParticle, ...]:
        """The functions φ_v behind the columns of A: degree l, neighbor species z, radial label q, and m."""
        return self._operators.extended_products.one_particle

    @property
    def factors(self) -> ProductSet:
        """The products behind the columns of AA, each a tuple of one-particle functions."""
        return self._operators.extended_products

    # --- pairs → A ----------------------------------------------------------------------------------------

    def sums(
        self,
        atoms: Atoms,
        *,
        indices: Any = None,
        neighbors: NeighborList | None = None,
        num_threads: int | None = None,
    ) -> np.ndarray:
        """Return A, shape (n_centers, n_one_particle).

        Parameters
        ----------
        atoms : ase.Atoms
        indices : sequence of int, slice or mask, optional
            Which atoms are centers; default all of the species.
        neighbors : NeighborList, optional
            From `ACEBasis.neighbor_list` of the same structure, with such centers. Not together with `indices`.
        num_threads : int, optional
            The result does not depend on it.

        Raises
        ------
        TypeError, ValueError
            For centers of another species, and for a structure or a list that does not belong to the basis.
        """
        chosen = self._given(atoms, indices, neighbors, num_threads)
        result = np.empty((len(chosen.rows), len(self.one_particle)))
        self._sums.evaluate(chosen, result)
        return result

    def sums_jvp(
        self,
        atoms: Atoms,
        displacements: ArrayLike,
        strain: ArrayLike | None = None,
        *,
        indices: Any = None,
        neighbors: NeighborList | None = None,
        num_threads: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return A and Ȧ along a motion of the atoms, both (n_centers, n_one_particle); arguments as `jvp`."""
        chosen = self._given(atoms, indices, neighbors, num_threads)
        w = real_array("displacements", displacements, (len(atoms), 3))
        epsilon = np.zeros((3, 3)) if strain is None else real_array("strain", strain, (3, 3))
        values, derivatives = np.empty((2, len(chosen.rows), len(self.one_particle)))
        self._sums.evaluate(chosen, values, (w, epsilon), derivatives)
        return values, derivatives

    def sums_pullback(
        self,
        atoms: Atoms,
        cotangents: ArrayLike,
        *,
        indices: Any = None,
        neighbors: NeighborList | None = None,
        num_threads: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return Σ_iv g_iv ∂A_v(i) with respect to positions and strain, in the shapes of `pullback`.

        Parameters
        ----------
        atoms, indices, neighbors, num_threads
            As in `sums`.
        cotangents : array_like of float64, shape (n_centers, n_one_particle)
            g.
        """
        chosen = self._given(atoms, indices, neighbors, num_threads)
        neighbors = chosen.neighbors
        g = real_array("cotangents", cotangents, (len(chosen.rows), len(self.one_particle)))
        gradients = self._sums.pullback(chosen, g)
        forces, virial = np.zeros((len(atoms), 3)), np.zeros((3, 3))
        accumulate_forces(
            neighbors.offsets, neighbors.centers, neighbors.neighbors, neighbors.vectors, gradients, forces, virial
        )
        return -forces, -virial

    def _given(self, atoms: Atoms, indices: Any, neighbors: NeighborList | None, num_threads: int | None) -> Chosen:
        environments = Environments(self._basis, atoms, indices=indices, neighbors=neighbors, num_threads=num_threads)
        environments.take_species(self._z)
        others = environments.neighbors.centers[environments.center_species != self._z]
        if len(others):
            raise SpeciesError(f"centers must be {self._center}; atom {others[0]} is {atoms.symbols[others[0]]}")
        return environments.chosen(environments.neighbors, [self._z])

    # --- A → AA → B ---------------------------------------------------------------------------------------

    @cached_property
    def products(self) -> ProductMap:
        """A ↦ AA, with columns `factors`: methods `evaluate`, `jvp` and `pullback`."""
        products = self._operators.extended_products
        return ProductMap(products, csr_array(eye_array(len(products), format="csr")))

    @cached_property
    def contraction(self) -> ProductMap:
        """AA ↦ B, the features of the basis: a linear map, with the same methods."""
        names: tuple[Any, ...] = tuple(self._operators.extended_products)
        themselves = ProductSet(names, (np.arange(len(names))[:, None],))
        return self._map(themselves)

    @cached_property
    def features(self) -> ProductMap:
        """A ↦ B, both of the above without storing AA: the same methods."""
        return self._map(self._operators.extended_products)

    def _map(self, products: ProductSet) -> ProductMap:
        operators = self._operators
        return ProductMap(
            products, operators.extended_symmetrization, operators.component_purification, operators.n_components
        )
