"""Writing .yace files for LAMMPS ML-PACE; what is released has been read back and compared."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from acepure._utils.checks import number
from acepure._utils.files import atomic_write
from acepure.features.basis import ACEBasis
from acepure.features.linear import EnergyAndForces, LinearFunction, features_of_isolated_atoms
from acepure.interfaces.yace.bonds import TableBond
from acepure.interfaces.yace.complex_products import Products
from acepure.interfaces.yace.conversion import folded_model, yace_content
from acepure.interfaces.yace.core_table import core_table_text
from acepure.interfaces.yace.embeddings import LINEAR, SHIFTED, FileEmbedding
from acepure.interfaces.yace.evaluator import YaceContent
from acepure.interfaces.yace.radial_tables import RadialTables, chebyshev_tables, polynomial_tables
from acepure.interfaces.yace.release_check import Difference, compare, trial_structures
from acepure.interfaces.yace.yace_reader import read_yace
from acepure.interfaces.yace.yace_text import yace_text
from acepure.models.embedded import EmbeddedACE
from acepure.models.embedding import Embedding, FinnisSinclair
from acepure.models.repulsion import PairCore

# Accuracy of radial functions, relative to the tolerance of energies and forces; the next one is tried where sums
# cancel so much that the first is not enough.
_ACCURACIES = (1e-1, 1e-3, 1e-6, 1e-9)
_FINEST = 1e-14
_FAMILIES = ("ChebPow", "ACE.jl")


@dataclass(frozen=True)
class YaceReport:
    """What was written, and how well it agrees with the model.

    Attributes
    ----------
    path : str
    family : str
        Of the radial functions.
    n_functions, n_terms : int
        Of the file, all species.
    n_radial, n_base, lmax : int
        Rows of radial functions for each l, functions that they are made of, largest l.
    n_dropped : int
        Products left out because their coefficients are rounding.
    difference : Difference
        Errors of energies and forces.
    size : int
        Bytes.
    table : str or None
        The file of the repulsive core.
    lammps : str
        The commands that use the files.
    """

    path: str
    family: str
    n_functions: int
    n_terms: int
    n_radial: int
    n_base: int
    lmax: int
    n_dropped: int
    difference: Difference
    size: int
    table: str | None
    lammps: str

    def __str__(self) -> str:
        d = self.difference
        core = "" if self.table is None else f"the repulsive core is in {self.table}, which LAMMPS needs too\n"
        return (
            f"{self.path}: {self.size / 1e6:.2f} MB, {self.n_functions} functions, {self.n_terms} terms "
            f"({self.n_dropped} negligible ones left out)\n"
            f"radial functions {self.family}: {self.n_radial} x {self.lmax + 1} of {self.n_base} terms\n"
            f"read back, {d.n_atoms} atoms: relative error of energies {d.energy:.1e}, of forces {d.force:.1e}\n"
            f"{core}commands for a LAMMPS that was built with the package ML-PACE:\n{self.lammps}"
        )


def write_yace(
    path: str | os.PathLike[str],
    basis: ACEBasis,
    coefficients: ArrayLike,
    E0s: Mapping[str, float] | None = None,
    *,
    embedding: Embedding | None = None,
    core: PairCore | None = None,
    core_table: str | os.PathLike[str] | None = None,
    tolerance: float = 1e-6,
    family: str = "ChebPow",
    step: float = 0.001,
    structures: Iterable[Atoms] = (),
) -> YaceReport:
    """Write a potential for ``pair_style pace`` of LAMMPS.

        E_i = E0(z_i) + F(ρ_i),      ρ_ip = Σ_k θ_{p z_i k} (B_k(i) − B_k(∅)),      F = ρ_1 without an embedding,

    in products of complex neighbor sums. The file is read back by an evaluator of its own and compared with the
    potential on random clusters, dimers and single atoms; if it differs, there is no file.

    Parameters
    ----------
    path : str or os.PathLike
        Replaced if it exists.
    basis : ACEBasis
        Self-interacting, canonical, centered or shifted; any radial functions that are smooth from r = 0 to the cutoff.
    coefficients : array_like, shape (n_species, n_features), or (n_features,) for one species
        θ in eV. With an embedding, of shape (n_densities, n_species, n_features).
    E0s : mapping of str to float, optional
        Energies of isolated atoms in eV; default 0.
    embedding : FinnisSinclair, optional
        F; the format has no other. Default: F = ρ_1, a linear potential.
    core : PairCore, optional
        The format has no place for it: it goes to `core_table`, for ``pair_style hybrid/overlay``.
    core_table : str or os.PathLike, optional
        Only with a core; default: the path with the ending .core.table.
    tolerance : float
        Largest error of the energy of an atom and of the force on it, relative to their size where they are larger than
        1 eV and 1 eV/Å. It decides how many Chebyshev terms the file has.
    family : {"ChebPow", "ACE.jl"}
        Radial functions: tables for anything, on CPU and GPU; or polynomials without tables, exact to round-off, on CPU
        only and for few bases, see `acepure.interfaces.yace.radial_tables.polynomial_tables`.
    step : float
        Distance of the nodes of the tables in Å (deltaSplineBins).
    structures : iterable of ase.Atoms
        More structures to compare.

    Returns
    -------
    YaceReport
        Print it for the errors reached and the commands for LAMMPS.

    Raises
    ------
    TypeError, ValueError
        Before any work, for arguments that do not fit together; and if the file does not agree with the potential. No
        file is left then.

    Examples
    --------
    >>> import tempfile
    >>> basis = ACEBasis(["Cu"], order=2, totaldegree=3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = write_yace(f"{folder}/Cu.yace", basis, np.ones(len(basis)))
    >>> report.difference.largest < 1e-6
    True
    """
    tolerance, step = number("tolerance", tolerance, above=0), number("step", step, above=0)
    if family not in _FAMILIES:
        raise ValueError(f"family must be one of {', '.join(_FAMILIES)}; got {family!r}")
    core_table = _checked_core_table(path, core, core_table)
    of_file = _file_embedding(embedding)
    model = _Model(basis, coefficients, embedding, E0s)
    if step > basis.cutoffs.min() / 10:
        raise ValueError(
            f"step must be at most a tenth of the shortest cutoff, {basis.cutoffs.min():g} Å; got {step!r}"
        )
    checked = [*trial_structures(basis), *structures]
    folded = folded_model(basis, model.coefficients)
    table, sections = (None, []) if core is None else core_table_text(core, basis.species)
    lammps = _commands(path, basis.species, core_table, sections)
    with ExitStack() as files:
        temporary = files.enter_context(atomic_write(path))
        if table is not None and core_table is not None:
            files.enter_context(atomic_write(core_table)).write_text(table, encoding="utf-8", newline="\n")
        for tables in _tables(basis, folded, family, tolerance, step):
            potential = yace_content(basis, folded, of_file, model.E0s, tables)
            text = yace_text(potential, lammps.splitlines())
            temporary.write_text(text, encoding="utf-8", newline="\n")
            difference = compare(read_yace(temporary).content, model.evaluate, checked)
            if difference.largest <= tolerance:
                break
        else:
            raise ValueError(_too_different(difference, tolerance, family, step))
    return _report(path, potential, family, text, folded, difference, core_table, lammps)


class _Model:
    """The potential as this package evaluates it."""

    def __init__(
        self,
        basis: ACEBasis,
        coefficients: ArrayLike,
        embedding: Embedding | None,
        E0s: Mapping[str, float] | None,
    ) -> None:
        self._embedded = None if embedding is None else EmbeddedACE(basis, coefficients, embedding)
        self._function = LinearFunction(basis, coefficients)
        #: (n_densities, n_species, n_features)
        self.coefficients = self._function.coefficients.reshape(-1, len(basis.species), len(basis))
        given = dict.fromkeys(basis.species, 0.0) if E0s is None else E0s
        missing = [s for s in basis.species if s not in given]
        if missing:
            raise ValueError(f"E0s lacks {', '.join(missing)}; the basis is for {', '.join(basis.species)}")
        self.E0s = np.array([number(f"E0s[{s!r}]", given[s]) for s in basis.species])
        self._constants = self.E0s
        if embedding is None:
            self._constants = self.E0s - (self.coefficients[0] * features_of_isolated_atoms(basis)).sum(axis=1)

    def evaluate(self, atoms: Atoms) -> EnergyAndForces:
        if self._embedded is None:
            result = self._function.evaluate_with_gradients(atoms)
        else:
            result = self._embedded.evaluate(atoms)
        energies = result.energies + self._constants[self._function.basis.species_indices(atoms)]
        return EnergyAndForces(energies, result.forces, result.virial)


def _file_embedding(embedding: Embedding | None) -> FileEmbedding:
    if embedding is None:
        return LINEAR
    if type(embedding) is not FinnisSinclair:
        raise ValueError(f".yace files know the embedding FinnisSinclair alone; the potential has {embedding!r}")
    P = embedding.n_densities
    return FileEmbedding(SHIFTED, np.ones(P), np.array([1.0] + [embedding.m] * (P - 1)))


def _checked_core_table(
    path: str | os.PathLike[str], core: PairCore | None, core_table: str | os.PathLike[str] | None
) -> str | os.PathLike[str] | None:
    """Return where the core goes; None without one."""
    if core is not None and not isinstance(core, PairCore):
        raise TypeError(f"core must be a PairCore or None; got {core!r}")
    if core is None and core_table is not None:
        raise ValueError(f"core_table={os.fspath(core_table)!r} was given, but the potential has no core")
    if core is not None and core_table is None:
        core_table = Path(path).with_suffix(".core.table")
    if core_table is not None and os.path.realpath(core_table) == os.path.realpath(path):
        raise ValueError(f"path and core_table must be two files; got {os.fspath(path)!r} for both")
    return core_table


def _tables(
    basis: ACEBasis, folded: list[Products], family: str, tolerance: float, step: float
) -> Iterator[RadialTables]:
    """Yield radial tables, better and better."""
    if family == "ACE.jl":
        yield polynomial_tables(basis, folded)
        return
    done = 0
    for accuracy in _ACCURACIES:
        tables = chebyshev_tables(basis, folded, max(accuracy * tolerance, _FINEST), step)
        bond = tables.bonds[0, 0]
        assert isinstance(bond, TableBond)  # as all of chebyshev_tables
        n_base = bond.coefficients.shape[2]
        if n_base > done:
            yield tables
        done = n_base


def _too_different(difference: Difference, tolerance: float, family: str, step: float) -> str:
    advice = "; a smaller step makes the tables better" if family == "ChebPow" else ""
    return (
        f"no file was written: read back, its energies differ by {difference.energy:.1e} and its forces by "
        f"{difference.force:.1e} (relative), more than tolerance={tolerance:g}; large contributions that cancel lose "
        f"digits in products of plain sums{advice}" + (f" (now {step:g} Å)" if advice else "")
    )


def _commands(
    path: str | os.PathLike[str],
    species: tuple[str, ...],
    core_table: str | os.PathLike[str] | None,
    sections: list[str],
) -> str:
    """Lines of a LAMMPS input for atom types in the order of the species."""
    name, elements = Path(path).name, " ".join(species)
    if core_table is None:
        return f"units metal\npair_style pace product\npair_coeff * * {name} {elements}"
    types = {s: i for i, s in enumerate(species, 1)}
    pairs = [(section, *(types[s] for s in section.split("-"))) for section in sections]
    lines = ["units metal", "pair_style hybrid/overlay pace product table spline 10000"]
    lines.append(f"pair_coeff * * pace {name} {elements}")
    return "\n".join(lines + [f"pair_coeff {i} {j} table {Path(core_table).name} {section}" for section, i, j in pairs])


def _report(
    path: str | os.PathLike[str],
    potential: YaceContent,
    family: str,
    text: str,
    folded: list[Products],
    difference: Difference,
    core_table: str | os.PathLike[str] | None,
    lammps: str,
) -> YaceReport:
    terms = [t for center in potential.terms for t in center]
    bond = potential.bonds[0, 0]
    lmax = max((int(t.ls.max(initial=0)) for t in terms), default=0)
    if isinstance(bond, TableBond):
        n_radial, n_base = bond.coefficients.shape[0], bond.coefficients.shape[2]
    else:
        n_radial = n_base = len(bond.recurrence)
    return YaceReport(
        path=os.fspath(path),
        family=family,
        n_functions=text.count("num_ms_combs"),
        n_terms=sum(len(t.ctildes) for t in terms),
        n_radial=n_radial,
        n_base=n_base,
        lmax=lmax,
        n_dropped=sum(model.n_dropped for model in folded),
        difference=difference,
        size=len(text.encode()),
        table=None if core_table is None else os.fspath(core_table),
        lammps=lammps,
    )
