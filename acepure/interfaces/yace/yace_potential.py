"""YacePotential: a potential of a .yace file, run by the kernels."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from ase import Atoms

from acepure._kernels.forces import accumulate_forces
from acepure.features.products import EnergyAndForces, ProductFunction
from acepure.interfaces.yace.bonds import TableBond
from acepure.interfaces.yace.compiled import compiled, is_linear
from acepure.interfaces.yace.evaluator import YaceContent
from acepure.models.potential import SitePotential
from acepure.neighbors.environments import Environments
from acepure.neighbors.lists import NeighborList
from acepure.neighbors.sites import Sites


class YacePotential(SitePotential):
    """A potential of a .yace file, of acepure or of others; `read_yace` makes it.

        E = Σ_i [E0 + s F(ρ_i1, ..., ρ_iP) + ρ_core],      ρ_ip = Re Σ_terms c̃_p Π_t A_{μ_t n_t l_t m_t}

    Sums over complex harmonics are made real, and the kernels of linear functions do the rest; radial functions are
    interpolated in the tables that LAMMPS makes.

    Parameters
    ----------
    content : YaceContent

    Attributes
    ----------
    basis : Sites
        Species and cutoffs.
    content : YaceContent
        What the file says.
    """

    def __init__(self, content: YaceContent) -> None:
        self.content = content
        self.basis = Sites(content.elements, content.cutoffs)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles hold what the file says; the compiled tables are built anew."""
        return YacePotential, (self.content,)

    def __repr__(self) -> str:
        return f"YacePotential({', '.join(self.content.elements)}; {self.content.n_terms} terms)"

    @property
    def E0s(self) -> Mapping[str, float]:
        """Energies of isolated atoms in eV; read-only."""
        return MappingProxyType(dict(zip(self.content.elements, self.content.E0.tolist())))

    @property
    def shortest_distances(self) -> None:
        """Unknown: files do not say what they were fitted to."""
        return None

    @cached_property
    def _function(self) -> ProductFunction:
        return compiled(self.content, self.basis)

    def evaluate(
        self, atoms: Atoms, *, neighbors: NeighborList | None = None, num_threads: int | None = None
    ) -> EnergyAndForces:
        """Return energies (eV), forces (eV/Å) and the virial (eV).

        Parameters
        ----------
        atoms : ase.Atoms
        neighbors : NeighborList, optional
            From ``basis.neighbor_list`` of the same structure.
        num_threads : int, optional

        Raises
        ------
        TypeError, ValueError
            For what is no structure, for species that the file does not name, and for atoms closer than its radial
            functions are defined.
        """
        environments = Environments(self.basis, atoms, neighbors=neighbors, num_threads=num_threads)
        if self.content.core == "zbl":
            result = self._with_nuclei(atoms, environments)
        else:
            embedding = None if is_linear(self.content) else self._embedding
            result = self._function.evaluate_environments(environments, embedding)
        energies = result.energies + self.content.E0[environments.center_species]
        return EnergyAndForces(energies, result.forces, result.virial)

    def _embedding(self, values: np.ndarray, z: int) -> tuple[np.ndarray, np.ndarray]:
        F, slopes = self.content.embeddings[z], np.zeros_like(values)
        core = values[:, -1] if self.content.core else np.zeros(len(values))
        energies, slopes[:, : F.n_densities], of_core = F.with_core(values[:, : F.n_densities], core)
        if self.content.core:
            slopes[:, -1] = of_core
        return energies, slopes

    def _with_nuclei(self, atoms: Atoms, environments: Environments) -> EnergyAndForces:
        """With the switch by the nearest neighbor: sums are made twice."""
        neighbors, kinds = environments.neighbors, environments.center_species
        values = self._function.evaluate(atoms, neighbors=neighbors, num_threads=environments.num_threads)
        pairs, near, width = self._nearest(environments)
        energies, slopes, of_near = np.empty(len(values)), np.zeros_like(values), np.empty(len(values))
        for z, F in enumerate(self.content.embeddings):
            mine, P = kinds == z, F.n_densities
            given = values[mine, :P], values[mine, -1], near[mine], width[mine]
            energies[mine], slopes[mine, :P], slopes[mine, -1], of_near[mine] = F.with_nuclei(*given)
        gradients = self._function.pair_gradients(environments, slopes)
        has = np.isfinite(near)
        vectors = neighbors.vectors[pairs[has]]
        gradients[pairs[has]] += (of_near[has] / np.linalg.norm(vectors, axis=1))[:, None] * vectors
        forces, virial = np.zeros((len(atoms), 3)), np.zeros((3, 3))
        accumulate_forces(
            neighbors.offsets, neighbors.centers, neighbors.neighbors, neighbors.vectors, gradients, forces, virial
        )
        return EnergyAndForces(energies, forces, virial)

    def _nearest(self, environments: Environments) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each center the pair that decides about the switch, how far it is from where F ends, and over what."""
        neighbors, n = environments.neighbors, len(self.basis.species)
        inner, width = np.zeros((2, n, n))
        for pair, bond in self.content.bonds.items():
            assert isinstance(bond, TableBond)  # others have no cores
            inner[pair], width[pair] = bond.core.end - bond.core.width, bond.core.width
        rows = np.repeat(np.arange(neighbors.n_centers), np.diff(neighbors.offsets))
        zi, zj = environments.center_species[rows], environments.species[neighbors.neighbors]
        r = np.linalg.norm(neighbors.vectors, axis=1)
        x = np.where(r < self.basis.cutoffs[zi, zj], r - inner[zi, zj], np.inf)
        order, has = np.lexsort((x, rows)), np.diff(neighbors.offsets) > 0
        pairs = np.zeros(neighbors.n_centers, dtype=np.int64)
        pairs[has] = order[neighbors.offsets[:-1][has]]
        near, widths = np.full(len(pairs), np.inf), np.ones(len(pairs))
        near[has], widths[has] = x[pairs[has]], width[zi, zj][pairs[has]]
        return pairs, near, widths
