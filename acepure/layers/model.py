"""LayeredACE: layers of messages on top of a linear potential, E = base + Σ_i Σ_layers Σ_k c_{z_i k} m_k(i)."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NoReturn

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from acepure._utils.messages import shown
from acepure.features.basis import ACEBasis
from acepure.features.linear import EnergyAndForces
from acepure.fitting.labeled import LabeledSet
from acepure.layers._torch import torch
from acepure.layers.geometry import ONE_CUTOFF, Batch, pairs_of
from acepure.layers.network import Architecture, Network
from acepure.models.files import LAYERED, read_model, write_model
from acepure.models.linear import LinearACE
from acepure.models.potential import FittedPotential
from acepure.models.repulsion import PairCore
from acepure.neighbors.environments import Environments
from acepure.neighbors.lists import NeighborList

__all__ = ["LayeredACE"]

_log = logging.getLogger(__name__)


class LayeredACE(FittedPotential):
    """Messages between atoms in one or two layers, on top of a linear potential.

        E = base + Σ_i Σ_t Σ_k c_{t z_i k} m_tk(i)

    The messages m of the first layer are polynomials of an atom's neighbors, those of the second of neighbors that
    carry the messages they received. Sums run over pairwise distinct neighbors ("siblings"), and over walks that do not
    turn back ("no-backtracking"), or over all, as in MACE. The energy of an isolated atom is that of the base, exactly.
    Needs PyTorch: ``pip install "acepure[torch]"``.

    Parameters
    ----------
    base : LinearACE
        With energies of isolated atoms and the repulsive core.
    network : Network
        Its radial functions are those of the basis of the base, before any change of coordinates, made orthonormal.
    report : mapping, optional

    Attributes
    ----------
    base : LinearACE
    network : Network
        Its `arrays` are NumPy's.

    Examples
    --------
    >>> from ase.build import bulk
    >>> architecture = Architecture(n_layers=2, channels=2, l_max=1)
    >>> basis = ACEBasis(["Cu"], order=1)
    >>> arrays = architecture.random(1, neighbors=40.0, seed=0) | {"whitening": np.eye(8)[None]}
    >>> model = LayeredACE(LinearACE(basis, np.zeros(len(basis)), {"Cu": -0.5}), Network(architecture, 1, arrays))
    >>> atoms = bulk("Cu", cubic=True)
    >>> atoms.calc = model.calculator()
    >>> atoms.get_forces().shape, model.evaluate(Atoms("Cu")).energy
    ((4, 3), -0.5)
    """

    def __init__(self, base: LinearACE, network: Network, *, report: Mapping[str, Any] | None = None) -> None:
        if not isinstance(base, LinearACE):
            raise TypeError(f"base must be a LinearACE; got {base!r}")
        if not isinstance(network, Network):
            raise TypeError(f"network must be a Network; got {network!r}")
        if network.n_species != len(base.basis.species):
            raise ValueError(f"network is for {network.n_species} species, but base for {len(base.basis.species)}")
        if network.architecture.reverse and not np.array_equal(base.basis.cutoffs, base.basis.cutoffs.T):
            raise ValueError(ONE_CUTOFF)
        self.base, self.network = base, network
        self._set(base.basis, base.E0s, base.core, base.shortest_distances, base.surroundings, report)
        self.coefficients = base.coefficients

    def __repr__(self) -> str:
        a = self.network.architecture
        sizes = f"{a.n_layers} layers of {a.channels} channels, l_max {a.l_max}, order {a.order}"
        kind, species = a.canonical or "plain", ", ".join(self.basis.species)
        return f"LayeredACE({species}; {sizes}, {kind}; base of {len(self.basis)} features)"

    @classmethod
    def fit(
        cls,
        structures: Iterable[Atoms] | LabeledSet,
        basis: ACEBasis | None = None,
        *,
        layers: int = 2,
        channels: int = 16,
        l_max: int = 2,
        order: int = 3,
        n_radial: int = 8,
        canonical: str | bool = "siblings",
        pair_term: bool = True,
        base: str | None = "linear",
        rcut: float | Mapping[tuple[str, str], float] | None = None,
        minutes: float | None = None,
        steps: int | None = None,
        seed: int = 0,
        dtype: str = "float32",
        checkpoint: str | os.PathLike[str] | None = None,
        num_threads: int | None = None,
        progress: bool | None = None,
        verbose: bool = True,
        **options: Any,
    ) -> LayeredACE:
        """Fit the base, then train the network on what it leaves.

        Parameters
        ----------
        structures, num_threads, progress, verbose
            As for `LinearACE.fit`. Structures, and functions of their pairs, are held in memory.
        basis : ACEBasis, optional
            Of the base, with `base="linear"`; chosen from the structures if there is none.
        layers, channels, l_max, order, n_radial, canonical, pair_term
            As `Architecture`.
        base : {"linear", "pair", None}
            What is fitted first, and stays as it is: a linear potential, pair terms alone, or nothing but reference
            energies and core.
        rcut : float or mapping, optional
            Cutoff in Å, for other bases than "linear"; default 5.0.
        minutes : float, optional
            About how long to train on a machine that does nothing else, base and errors not counted; default 5.
            Results depend on the machine then.
        steps : int, optional
            So many steps of the last run in its place: the same seed gives the same bits, with equal threads.
        seed : int
            Of the start, and of the order of structures.
        dtype : {"float32", "float64"}
            Of training; evaluation is in float64.
        checkpoint : str or os.PathLike, optional
            A folder for states of training. The same fit, stopped and called again, goes on from the last one.
        **options
            Others of `LinearACE.fit`: size, weights, E0s, core, ..., keys of labels.

        Raises
        ------
        TypeError, ValueError
            Before any work.
        ImportError
            Without PyTorch.

        Examples
        --------
        >>> from ase.build import bulk
        >>> from ase.calculators.emt import EMT
        >>> structures = [bulk("Cu", cubic=True) for _ in range(5)]
        >>> for seed, atoms in enumerate(structures):
        ...     atoms.rattle(0.1, seed=seed)
        ...     atoms.calc = EMT()
        ...     energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        >>> sizes = {"layers": 1, "channels": 2, "l_max": 1, "steps": 20, "base": "pair"}
        >>> model = LayeredACE.fit(structures, **sizes, verbose=False)
        >>> model.network.arrays["c1"].shape
        (1, 2)
        """
        from acepure.layers.fit import fit_layers

        architecture = Architecture(layers, channels, l_max, order, n_radial, canonical, pair_term)
        with shown(sys.stdout, verbose):
            found, network, summary = fit_layers(
                structures,
                basis,
                architecture,
                base=base,
                rcut=rcut,
                minutes=minutes,
                steps=steps,
                seed=seed,
                dtype=dtype,
                checkpoint=checkpoint,
                num_threads=num_threads,
                progress=progress,
                **options,
            )
            report = found.report
            return cls(found, network, report={**report, "summary": [*report.get("summary", []), *summary]})

    def evaluate(
        self, atoms: Atoms, *, neighbors: NeighborList | None = None, num_threads: int | None = None
    ) -> EnergyAndForces:
        """Return energies (eV), forces (eV/Å) and the virial (eV).

        Parameters
        ----------
        atoms : ase.Atoms
        neighbors : NeighborList, optional
            Of the same structure, with all atoms as centers.
        num_threads : int, optional
            Of the base; those of PyTorch are as they are.
        """
        environments = self._environments(atoms, neighbors, num_threads)
        pairs = environments.neighbors
        base = self.base.evaluate(atoms, neighbors=pairs, num_threads=num_threads)
        _, energies, forces, virials = self._of_network([environments])
        return EnergyAndForces(base.energies + energies, base.forces + forces, base.virial + virials[0])

    def energies_by_feature(self, features: np.ndarray, species: np.ndarray) -> np.ndarray:
        """Return what each feature adds to the energies of the base, in eV; layers have no features."""
        return self.base.energies_by_feature(features, species)

    def dimer(self, center: str, neighbor: str, r: ArrayLike) -> np.ndarray:
        """Return E(r) − E0(center) − E0(neighbor) of two atoms, in eV; see `FittedPotential.dimer`."""
        base, pair = self.base.dimer(center, neighbor, r), [center, neighbor]  # raises
        structures = [Atoms(pair, [[0, 0, 0], [0, 0, d]]) for d in np.asarray(r, dtype=float)]
        if not structures:
            return base
        found = self._of_network([Environments(self.basis, atoms, num_threads=1) for atoms in structures])
        return np.asarray(base + found[0])

    def _of_network(self, environments: Sequence[Environments]) -> tuple[np.ndarray, ...]:
        """Return energies of structures and of their sites, forces and virials of the network alone."""
        network, names = self.network, self.basis.species
        given = self.basis.radial.plain, names, network.arrays["whitening"], network.architecture.l_max
        pairs = [pairs_of(found.species, found.neighbors, *given) for found in environments]
        with torch.inference_mode(False), torch.enable_grad():  # whatever the caller has switched off
            batch = Batch(pairs, len(names), torch.float64, network.architecture.reverse)
            energies = network.energies(network.tensors(torch.float64), batch)
            forces, virials = batch.forces(*torch.autograd.grad(energies.sum(), [batch.g, batch.Y]))
        return tuple(x.detach().numpy() for x in (batch.of_structures(energies), energies, forces, virials))

    def with_pair_term(self, pair: PairCore | None = None) -> LayeredACE:
        """Return a potential whose two atoms alone have the energy of the base, or one that is given.

        Without backtracking, and for one layer of siblings, the energy of a dimer is a sum over pairs that every other
        energy contains. It is taken out of the network exactly, whatever has been trained.

        Parameters
        ----------
        pair : PairCore, optional
            V(r) of two atoms in place of that of the base too: `ZBLCore`, or `TabulatedPair` of given energies. The
            base must be a pair potential, or none. Without it, the dimer is that of the base.

        Raises
        ------
        ValueError
            If the network has no pair term that could be told from the rest.
        """
        architecture = Architecture(**{**asdict(self.network.architecture), "pair_term": False})
        base = self.base
        if pair is not None:
            if self.basis.order > 1:
                raise ValueError(
                    "another pair term needs a base that has pair terms alone: fit with base='pair' or None"
                )
            known: dict[str, Any] = {"shortest": base.shortest_distances, "surroundings": base.surroundings}
            base = LinearACE(base.basis, np.zeros_like(base.coefficients), base.E0s, core=pair, **known)
        return LayeredACE(base, Network(architecture, self.network.n_species, self.network.arrays), report=self._report)

    def export_yace(self, *arguments: Any, **options: Any) -> NoReturn:
        """Raise: the format has no place for layers."""
        raise ValueError(".yace files have no place for layers of messages; export model.base, the linear potential")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one file of the format safetensors, exact; of the base, without its posterior."""
        write_model(path, LAYERED, self._entries(), {"coefficients": self.coefficients, **self.network.arrays})

    def _entries(self) -> dict[str, Any]:
        return {**super()._entries(), "network": asdict(self.network.architecture)}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LayeredACE:
        """Read what `save` wrote; PyTorch is needed when energies are.

        Raises
        ------
        FileNotFoundError
        ModelFileError
            For a file that is damaged, of another kind, or newer than this version understands.
        """
        entries, arrays = read_model(path, LAYERED)

        def made(basis: ACEBasis, given: dict[str, Any]) -> LayeredACE:
            report = given.pop("report")
            linear = LinearACE(basis, arrays.pop("coefficients"), **given)
            network = Network(Architecture(**entries["network"]), len(basis.species), arrays)
            return cls(linear, network, report=report)

        return cls._restored(path, entries, made)
