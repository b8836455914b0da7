"""The codes that `peers.py` compares: one function each, all yielding `Contender`s.

Every function takes the structure and what is asked for, builds its tables, and yields callables that return plain
arrays.  A code that is not installed yields nothing; `INSTALL` says how to get it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import numpy as np
from ase import Atoms

from acepure import ACEBasis, LinearFunction, pair_jacobian
from acepure.neighbors.lists import NeighborList, neighbor_list

#: Distribution names of the peers, and the command that installs each.
INSTALL = {
    "dscribe": "pip install dscribe",
    "featomic": "pip install featomic",
    "pyscal3": "pip install pyscal3",
    "ace-jax": "pip install ace-jax   (its kernel is compiled on first use: needs a C++17 compiler)",
}

SMEARING = 0.3  # Å, width of the Gaussians where a code smears atoms; points in acepure and pyscal3

Arrays = Callable[[], "np.ndarray | list[np.ndarray]"]


@dataclasses.dataclass(frozen=True)
class Contender:
    """One row of a table.

    Attributes
    ----------
    name : str
    features : int
    with_list, reused : callable or None
        Do the work with and without the search for neighbors; None where the interface has no such way.
    flops : float or None
        Per atom, of the sums and products alone; None for peers, which are measured by acepure's self-interacting row.
    """

    name: str
    features: int
    with_list: Arrays | None = None
    reused: Arrays | None = None
    flops: float | None = None


def installed(distribution: str) -> str | None:
    """Return the version, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


# --- acepure ------------------------------------------------------------------------------------------------


def bases(species: list[str], rcut: float, **specification) -> Iterator[tuple[str, ACEBasis]]:
    """The canonical and the self-interacting basis of a specification."""
    for kind in ("canonical", "self-interacting"):
        yield f"acepure, {kind}", ACEBasis(species, rcut, canonical=kind == "canonical", **specification)


def flops(basis: ACEBasis, neighbors: NeighborList) -> float:
    """Arithmetic per atom that no code of this design avoids: A by multiply-adds, one multiplication per product.

    Derivatives, radial functions, harmonics and symmetrization come on top.
    """
    products = basis.operators(basis.species[0]).extended_products
    n_A = len(products.one_particle) / len(basis.species)  # a neighbor adds to the sums of its own species
    return 2 * n_A * neighbors.n_pairs / neighbors.n_centers + len(products)


def acepure_features(atoms: Atoms, rcut: float, **specification) -> Iterator[Contender]:
    for name, basis in bases(sorted(set(atoms.symbols)), rcut, **specification):
        neighbors = basis.neighbor_list(atoms, num_threads=1)
        yield Contender(
            name,
            len(basis),
            with_list=lambda basis=basis: basis.descriptors(atoms, num_threads=1),
            reused=lambda basis=basis, n=neighbors: basis.descriptors(atoms, neighbors=n, num_threads=1),
            flops=flops(basis, neighbors),
        )


def acepure_jacobian(atoms: Atoms, rcut: float, **specification) -> Iterator[Contender]:
    for name, basis in bases(sorted(set(atoms.symbols)), rcut, **specification):
        yield Contender(
            f"{name}, per pair",
            len(basis),
            with_list=lambda basis=basis: pair_jacobian(basis, atoms, num_threads=1).values,
            flops=flops(basis, basis.neighbor_list(atoms, num_threads=1)),
        )


def acepure_forces(atoms: Atoms, rcut: float, **specification) -> Iterator[Contender]:
    """Energy, forces and virial of a linear function with random weights."""
    for name, basis in bases(sorted(set(atoms.symbols)), rcut, **specification):
        function = LinearFunction(basis, random_weights((len(basis.species), len(basis))))
        neighbors = basis.neighbor_list(atoms, num_threads=1)

        def evaluate(function=function, neighbors=neighbors):
            result = function.evaluate_with_gradients(atoms, neighbors=neighbors, num_threads=1)
            return [result.energies, result.forces]

        yield Contender(name, len(basis), reused=evaluate, flops=flops(basis, neighbors))


def random_weights(shape: tuple[int, ...]) -> np.ndarray:
    return 1e-3 * np.random.default_rng(0).standard_normal(shape)


# --- DScribe ------------------------------------------------------------------------------------------------


def dscribe_soap(atoms: Atoms, rcut: float, n_max: int, l_max: int) -> Iterator[Contender]:
    """SOAP with Gaussian-type radial functions; the search for neighbors is inside `create`.

    DScribe adds all atoms whose Gaussians reach into the cutoff, 3.7 σ beyond it.  Its default of σ = 1 Å therefore
    sees five times as many neighbors as the others do here; both widths are shown.
    """
    for sigma in (SMEARING, 1.0) if installed("dscribe") else ():
        soap = dscribe_calculator(atoms, rcut, n_max, l_max, sigma)
        yield Contender(
            f"DScribe SOAP, σ={sigma} Å" + " (its default)" * (sigma == 1.0),
            soap.get_number_of_features(),
            with_list=lambda soap=soap: soap.create(atoms),
        )


def dscribe_jacobian(atoms: Atoms, rcut: float, n_max: int, l_max: int) -> Iterator[Contender]:
    """Analytical derivatives, which DScribe has for structures that are not periodic.

    It is therefore given the atoms with all images that they see.  The result is dense, centers × atoms: most of it
    is zero, and writing that is part of the time.
    """
    if not installed("dscribe"):
        return
    soap = dscribe_calculator(atoms, rcut, n_max, l_max, SMEARING)
    reach = neighbor_list(atoms, rcut + soap.get_cutoff_padding())
    images = with_images(atoms, reach)
    cluster = Atoms(images.numbers, images.positions)
    free = dscribe_calculator(cluster, rcut, n_max, l_max, SMEARING)
    centers = list(range(len(atoms)))
    assert np.allclose(free.create(cluster, centers=centers), soap.create(atoms)), "the cluster misses neighbors"
    yield Contender(
        f"DScribe SOAP, σ={SMEARING} Å, dense",
        free.get_number_of_features(),
        with_list=lambda: free.derivatives(cluster, centers=centers, method="analytical")[0],
    )


def dscribe_calculator(atoms: Atoms, rcut: float, n_max: int, l_max: int, sigma: float):
    from dscribe.descriptors import SOAP

    species, periodic = sorted(set(atoms.symbols)), bool(atoms.pbc.any())
    return SOAP(species=species, r_cut=rcut, n_max=n_max, l_max=l_max, periodic=periodic, rbf="gto", sigma=sigma)


# --- featomic -----------------------------------------------------------------------------------------------


def featomic_calculator(rcut: float, n_max: int, l_max: int):
    from featomic import SoapPowerSpectrum

    return SoapPowerSpectrum(
        cutoff={"radius": rcut, "smoothing": {"type": "ShiftedCosine", "width": 0.5}},
        density={"type": "Gaussian", "width": SMEARING},
        basis={
            "type": "TensorProduct",
            "max_angular": l_max,
            "radial": {"type": "Gto", "max_radial": n_max - 1},  # counted from 0
        },
    )


def featomic_soap(
    atoms: Atoms, rcut: float, n_max: int, l_max: int, gradients: list[str] | None = None
) -> Iterator[Contender]:
    """SOAP power spectrum, with ∂/∂r of every atom in every environment if wanted.

    Its own search for neighbors runs at every call.  A list can only be handed over through Python objects, pair by
    pair, which is some twenty times slower than the whole calculation; so there is no figure without the list.
    """
    if not installed("featomic"):
        return
    from metatensor import Labels

    soap = featomic_calculator(rcut, n_max, l_max)
    selected = None
    if len(set(atoms.symbols)) == 1:  # n1 > n2 repeats n1 < n2 then
        values = [(l, n1, n2) for l in range(l_max + 1) for n1 in range(n_max) for n2 in range(n1, n_max)]
        selected = Labels(["l", "n_1", "n_2"], np.array(values, dtype=np.int32))

    def compute():
        blocks = soap.compute(atoms, gradients=gradients, selected_properties=selected).blocks()
        return [np.asarray(b.gradient("positions").values if gradients else b.values) for b in blocks]

    keys = soap.compute(atoms, selected_properties=selected).keys
    one_center = keys.column("center_type") == keys.column("center_type")[0]
    features = sum(block.shape[-1] for block, mine in zip(compute(), one_center) if mine)
    yield Contender(f"featomic SOAP, σ={SMEARING} Å" + ", per pair" * bool(gradients), features, with_list=compute)


# --- pyscal3 ------------------------------------------------------------------------------------------------


def pyscal_ace(atoms: Atoms, rcut: float, n_max: int, l_max: int) -> Iterator[Contender]:
    """Self-interacting ACE of orders 1 and 2, NumPy on a list from C++.

    Not used for order 3, of which it computes n < 3 and l ≤ 2 only, whatever is asked.
    """
    if not installed("pyscal3"):
        return
    import pyscal3

    pyscal3.set_num_threads(1)
    if not hasattr(pyscal3, "ace"):
        return
    own = atoms.copy()  # it stores its list and its results in the structure

    def find():
        pyscal3.find_neighbors(own, method="cutoff", cutoff=rcut, store_rows=False)

    def reused():
        return pyscal3.ace(own, nmax=n_max, lmax=l_max, nu_max=2, cutoff=rcut)["full"]

    find()
    yield Contender("pyscal3 ACE", reused().shape[1], with_list=lambda: (find(), reused())[1], reused=reused)


# --- ace-jax ------------------------------------------------------------------------------------------------


def ace_jax_features(atoms: Atoms, rcut: float, **specification) -> Iterator[Contender]:
    """Site descriptors, self-interacting: compiled by XLA, as the C++ kernel returns energies and forces alone.

    The pair functions that ace-jax adds to every model are in the count.
    """
    if not installed("ace-jax"):
        return
    model = _ace_jax(atoms, rcut, **specification)
    import equinox
    import jax.numpy as jnp

    neighbors = neighbor_list(atoms, rcut)
    centers = jnp.asarray(np.repeat(neighbors.centers, np.diff(neighbors.offsets)))
    of_pairs = jnp.zeros(neighbors.n_pairs, jnp.int32)  # species indices, one species
    arguments = (model, jnp.asarray(neighbors.vectors), of_pairs, of_pairs, centers, len(atoms), of_pairs[: len(atoms)])
    evaluate = equinox.filter_jit(lambda model, *rest: model.site_descriptors(*rest))
    features = evaluate(*arguments).shape[1]
    yield Contender("ace-jax, XLA", features, reused=lambda: np.asarray(evaluate(*arguments)))


def ace_jax_forces(atoms: Atoms, rcut: float, **specification) -> Iterator[Contender]:
    """Energies and forces by the C++ kernel of ace-jax, self-interacting, called as LAMMPS would call it.

    The kernel takes positions of atoms and images and a neighbor matrix, which are made here once from acepure's list;
    the forces of images are added to those of their atoms in every call.  Radial functions are its cubic tables.
    """
    if not installed("ace-jax"):
        return
    model = _ace_jax(atoms, rcut, **specification)
    import jax
    import jax.numpy as jnp
    from ace_jax.eval import ffi, fold_readout, lean

    features = model.WB.shape[0]
    model = dataclasses.replace(
        model,
        WB=jnp.asarray(random_weights(model.WB.shape)),
        Wpair=jnp.asarray(random_weights(model.Wpair.shape)),
        folded=False,
    )
    try:
        ffi.register(ffi.library())
    except ffi.FFIUnavailable as error:
        print(f"ace-jax's kernel skipped: {error}")
        return
    _, forces = ffi.lammps_fns(lean(fold_readout(model), radial_table=True), 1, [0], rcut)
    forces = jax.jit(forces)  # the kernel computes energies too, and XLA drops them

    neighbors = neighbor_list(atoms, rcut)
    images = with_images(atoms, neighbors)
    graph = _matrix(neighbors, images)
    positions = jnp.asarray(images.positions)
    species = jnp.zeros(len(positions), jnp.int32)

    def evaluate():
        result = np.zeros((len(atoms), 3))
        np.add.at(result, images.origin, np.asarray(forces(positions, species, graph)))
        return result

    assert abs(evaluate().sum(axis=0)).max() < 1e-8, "forces do not add up to zero"
    yield Contender("ace-jax, C++ kernel", features, reused=evaluate)


def _ace_jax(atoms: Atoms, rcut: float, *, order: int, n_max=None, l_max=None, totaldegree=None, wL=1.0, n_start=1):
    """A model whose product functions are those of the specification; one species."""
    import jax

    jax.config.update("jax_enable_x64", True)
    from ace_jax.basis.model import build_model

    (symbol,) = set(atoms.symbols)
    caps = {}
    if totaldegree is None:  # a box per order, inside a total degree that holds all of it; n counts from 1
        n_max, l_max = (value if isinstance(value, list) else order * [value] for value in (n_max, l_max))
        caps = {"nmax_by_order": n_max, "lmax_by_order": l_max}
        totaldegree = max(nu * (n + l) for nu, (n, l) in enumerate(zip(n_max, l_max), 1))
    return build_model([symbol], order, totaldegree, wL=wL, rcut=rcut, **caps).model


class _Matrix(NamedTuple):
    """Neighbor matrix as the kernel reads it: neighbors[k, i] is the k-th neighbor of atom i."""

    neighbors: np.ndarray
    num_neighbors: np.ndarray


def _matrix(neighbors: NeighborList, images: Images) -> _Matrix:
    import jax.numpy as jnp

    counts = np.diff(neighbors.offsets)
    matrix = np.full((counts.max(), len(counts)), len(images.positions), dtype=np.int32)
    slots = np.arange(neighbors.n_pairs) - np.repeat(neighbors.offsets[:-1], counts)
    matrix[slots, np.repeat(np.arange(len(counts)), counts)] = images.neighbors
    return _Matrix(jnp.asarray(matrix), jnp.asarray(counts, jnp.int32))


class Images(NamedTuple):
    """Atoms and the periodic images that they see, without a cell: what LAMMPS calls local and ghost atoms."""

    positions: np.ndarray
    numbers: np.ndarray
    origin: np.ndarray  # the atom that each is an image of
    neighbors: np.ndarray  # of each pair of the list, which of them the neighbor is


def with_images(atoms: Atoms, neighbors: NeighborList) -> Images:
    moved = neighbors.shifts.any(axis=1)
    seen = np.column_stack([neighbors.shifts, neighbors.neighbors])[moved]
    images, index = np.unique(seen, axis=0, return_inverse=True)
    origin = np.concatenate([np.arange(len(atoms)), images[:, 3]])
    translations = np.zeros((len(origin), 3))
    translations[len(atoms) :] = images[:, :3] @ atoms.cell.array
    targets = neighbors.neighbors.copy()
    targets[moved] = len(atoms) + index.ravel()  # NumPy 2.0 keeps an axis
    return Images(atoms.positions[origin] + translations, atoms.numbers[origin], origin, targets)
