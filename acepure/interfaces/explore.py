"""A page to look at structures: a map of their features beside the structures in 3-D, in one file, by chemiscope.

    structures → features of every atom → two maps (principal components of structures, of atoms) ┐
               → labels, errors, σ, self-interaction, numbers that the file holds                 ┴→ data set → page

Chemiscope and the data lie inside of the page, whose content security policy forbids the browser any request.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import distribution
from typing import Any

import numpy as np
from ase import Atoms
from scipy.linalg import eigh
from tqdm import tqdm

from acepure._utils.checks import check_kind, count
from acepure._utils.files import atomic_write
from acepure.features.basis import ACEBasis, check_basis, evaluate_features
from acepure.fitting.keys import LabelKeys, NoLabelsError, places, resolve_keys
from acepure.fitting.labels import read_labels
from acepure.models.embedded import EmbeddedACE
from acepure.models.linear import LinearACE
from acepure.neighbors.environments import Environments
from acepure.structures.gate import species_of, structure_list

__all__ = ["explore", "explore_dataset"]

# Of a basis that is chosen here.
_N_FUNCTIONS = 200
_MOST_ATOMS = 20_000
_COMPONENTS = 3
# Stored arrays that are positions, or no numbers of atoms although there may be as many.
_NO_PROPERTIES = ("numbers", "positions", "stress", "virial", "dipole")
_INSTALL = 'acepure explore needs chemiscope: pip install "acepure[explore]"'


def explore(structures: Iterable[Atoms], path: str | os.PathLike[str], **arguments: Any) -> None:
    """Write a page with a map of structures and of their atoms, for any browser, without network.

    Parameters
    ----------
    structures : iterable of ase.Atoms
    path : str or os.PathLike
        Usually ends in .html.
    **arguments
        Of `explore_dataset`.

    Raises
    ------
    ImportError
        Without chemiscope.
    TypeError, ValueError
        For wrong input, before any work.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from acepure.interfaces.explore import explore
    >>> explore([bulk("Cu", a=a) for a in (3.5, 3.6, 3.7)], "map.html")  # doctest: +SKIP
    """
    dataset = explore_dataset(structures, **arguments)
    with atomic_write(path) as written:
        written.write_text(_page(dataset), encoding="utf-8")


def explore_dataset(
    structures: Iterable[Atoms],
    *,
    model: LinearACE | EmbeddedACE | None = None,
    basis: ACEBasis | None = None,
    title: str = "acepure explore",
    max_atoms: int = _MOST_ATOMS,
    num_threads: int | None = None,
    progress: bool | None = None,
    **keys: Any,
) -> dict[str, Any]:
    """Return the data set of the page, which `chemiscope.show_input` shows in notebooks too.

    The axes of the maps are principal components of x − mean(x). For an atom i, x is

        B_k(i) / std(B_k)                   without a model: features, each in units of its spread,
        θ_{z_i k} (B_k(i) − B_k(∅))         with a model: what each feature adds to the energy of the atom, in eV, with
                                            an embedding to first order, see `LinearACE.energies_by_feature`;

    for a structure, Σ_i x(i) / N over the centers of each species, one species after the other.

    Parameters
    ----------
    structures : iterable of ase.Atoms
    model : LinearACE or EmbeddedACE, optional
        Adds energies of atoms, its errors where there are labels, and its standard deviations if it has them.
    basis : ACEBasis, optional
        Instead of a model; without both, 200 functions for the species of the structures.
    title : str
    max_atoms : int
        Of more atoms, structures at equal steps are taken, with a warning. The features of all atoms taken are held.
    num_threads, progress
        As elsewhere.
    **keys
        energy_key, ... of `acepure.fitting.label_structures`, for labels that are not found by their names.

    Returns
    -------
    dict
        What `chemiscope.create_input` returns. Numbers of `info`, of `arrays` and of calculators are among the
        properties, lengths for vectors on atoms. A property that some structures lack has NaN there.

    Raises
    ------
    ImportError
        Without chemiscope.
    TypeError, ValueError
        For wrong input, before any work, and for a structure with more than `max_atoms` atoms.

    Warns
    -----
    UserWarning
        For structures that are left out, and for values that are missing or not finite.
    """
    chemiscope = _chemiscope()
    every, max_atoms = structure_list(structures), count("max_atoms", max_atoms)
    check_kind("model", model, LinearACE, EmbeddedACE, None)
    if model is not None and basis is not None:
        raise ValueError("model and basis exclude each other: the model has its basis")
    if basis is None:
        basis = model.basis if model is not None else ACEBasis(species_of(every), n_functions=_N_FUNCTIONS)
    check_basis(basis)
    for k, atoms in enumerate(every):
        basis.species_indices(atoms, f"structures[{k}]")
    label_keys = _label_keys(every, keys)
    numbers, notes = _thinned(every, max_atoms)
    chosen = [every[k] for k in numbers]
    table = _Properties(chosen)
    table.add("number", "structure", numbers, "", "in the order given, from 0")
    rows = _evaluate(table, chosen, basis, model, label_keys, num_threads, progress)
    notes += _maps(table, chosen, basis, model, rows)
    table.add_stored(chosen)
    notes += table.notes
    return chemiscope.create_input(
        [Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc) for atoms in chosen],
        metadata={"name": title, "description": " ".join(notes)},
        properties={name: table.entries[name] for name in (*_AXES, *table.entries)},
        environments=[(s, i, basis.rcut) for s, atoms in enumerate(chosen) for i in range(len(atoms))],
        settings=chemiscope.quick_settings(
            x="map 1",
            y="map 2",
            map_color=next(name for name in _COLORS if name in table.entries),
            symbol="group",
            periodic=any(atoms.pbc.any() for atoms in chosen),
        ),
    )


def _chemiscope() -> Any:
    try:
        import chemiscope
    except ImportError:
        raise ImportError(_INSTALL) from None
    return chemiscope


def _label_keys(structures: Sequence[Atoms], given: Mapping[str, Any]) -> LabelKeys:
    """Where labels are; nowhere, if none were asked for and there are none."""
    try:
        return resolve_keys(structures, **given)
    except NoLabelsError:
        if any(value is not False for name, value in given.items() if name != "config_type_key"):
            raise
        return LabelKeys(config_type=given.get("config_type_key") or "config_type")


def _thinned(structures: Sequence[Atoms], max_atoms: int) -> tuple[np.ndarray, list[str]]:
    """Numbers of structures at equal steps with at most so many atoms, and what there is to say."""
    sizes = np.array([len(atoms) for atoms in structures])
    if sizes.max() > max_atoms:
        k = int(sizes.argmax())
        raise ValueError(f"structures[{k}] has {sizes[k]:,} atoms, more than max_atoms={max_atoms}")
    n = len(sizes)
    kept = np.arange(n)
    while sizes[kept].sum() > max_atoms:
        n -= 1
        kept = np.linspace(0, len(sizes) - 1, n).round().astype(int)
    if n == len(sizes):
        return kept, []
    note = f"{n:,} of {len(sizes):,} structures are shown, at equal steps, for at most {max_atoms:,} atoms."
    warnings.warn(note, stacklevel=3)
    return kept, [note]


class _Properties:
    """Named columns of numbers or words, one for each structure or for each atom."""

    def __init__(self, structures: Sequence[Atoms]) -> None:
        self.entries: dict[str, dict[str, Any]] = {}
        self.notes: list[str] = []
        self.sizes = {"structure": len(structures), "atom": sum(map(len, structures))}

    def add(self, name: str, target: str, values: Any, units: str = "", description: str = "") -> None:
        """Add a column; one without any finite number is left out, and said so."""
        entry: dict[str, Any] = {"target": target, "values": values, "description": description}
        if units:
            entry["units"] = units
        if not isinstance(values, list):
            numbers = np.asarray(values, dtype=float)
            finite = np.isfinite(numbers)
            missing = int((~finite).sum())
            if missing:
                ends = "it is left out" if missing == len(numbers) else "such points are hidden where it is shown"
                note = f"{name}: {missing:,} of {len(numbers):,} values are missing or not finite; {ends}."
                self.notes.append(note)
                warnings.warn(note, stacklevel=4)
            if missing == len(numbers):
                return
            entry["values"] = np.where(finite, numbers, np.nan)
        while name in self.entries:
            name += " (stored)" if target == "structure" else " (stored, atom)"
        self.entries[name] = entry

    def add_stored(self, structures: Sequence[Atoms]) -> None:
        """Add numbers of structures and atoms, and lengths of vectors on atoms, that the structures hold."""
        found: dict[tuple[str, str], list[np.ndarray]] = {}
        for s, atoms in enumerate(structures):
            for place, values in places(atoms):
                for key, value in values.items():
                    column = None if key in _NO_PROPERTIES else _column(place, value, len(atoms))
                    if column is not None:
                        target = "atom" if column.ndim else "structure"
                        empty = [np.full(len(other) if column.ndim else (), np.nan) for other in structures]
                        found.setdefault((str(key), target), empty)[s] = column
        for (key, target), columns in found.items():
            self.add(key, target, np.hstack(columns), "", "as stored")


def _column(place: str, value: Any, n_atoms: int) -> np.ndarray | None:
    """A number, or one for each atom, or None for anything else."""
    if isinstance(value, str) or value is None:
        return None
    try:
        array = np.asarray(value)
    except ValueError:  # ragged lists
        return None
    if array.dtype.kind not in "biuf":
        return None
    if array.ndim == 0:
        return array.astype(float)
    if place == "info" or len(array) != n_atoms:
        return None
    if array.ndim == 1:
        return array.astype(float)
    return np.linalg.norm(array, axis=1) if array.shape == (n_atoms, 3) else None


def _evaluate(
    table: _Properties,
    structures: Sequence[Atoms],
    basis: ACEBasis,
    model: LinearACE | EmbeddedACE | None,
    keys: LabelKeys,
    num_threads: int | None,
    progress: bool | None,
) -> np.ndarray:
    """Add what features, labels and model say; return the features of all atoms."""
    other = ACEBasis.from_dict({**basis.to_dict(), "canonical": not basis.canonical})
    labeled = [read_labels(atoms, keys, name=f"structures[{k}]") for k, atoms in enumerate(structures)]
    of_structure: dict[str, list[float]] = {}
    of_atoms: dict[str, list[np.ndarray]] = {}
    features = []
    bar = tqdm(labeled, desc="explore", unit="structure", disable=None if progress is None else not progress)
    for item in bar:
        atoms, n = item.atoms, len(item.atoms)
        environments = Environments(basis, atoms, num_threads=num_threads)
        given: dict[str, Any] = {"neighbors": environments.neighbors, "num_threads": num_threads}
        own = evaluate_features(basis, environments)
        twin = evaluate_features(other, Environments(other, atoms, **given))
        plain = twin if basis.canonical else own
        structure: dict[str, float] = {"atoms": n}
        atom: dict[str, np.ndarray] = {}
        structure["self-interaction"] = float(_share(own - twin, plain, None))
        atom["atom self-interaction"] = _share(own - twin, plain, 1)
        structure["energy"] = np.nan if item.energy is None else item.energy / n
        atom["atom force"] = np.full(n, np.nan) if item.forces is None else np.linalg.norm(item.forces, axis=1)
        if model is not None:
            result = model.evaluate(atoms, **given)
            atom["atom energy"] = result.energies
            structure["energy error"] = np.nan if item.energy is None else (result.energy - item.energy) / n
            missed = np.full((n, 3), np.nan) if item.forces is None else result.forces - item.forces
            atom["atom force error"] = np.linalg.norm(missed, axis=1)
            structure["force error"] = float(np.sqrt(np.mean(missed**2)))
            if isinstance(model, LinearACE) and model.posterior is not None:
                sigma = model.uncertainty(atoms, **given)
                structure["energy σ"] = sigma.energy / n
                atom["atom force σ"] = sigma.forces
                structure["force σ"] = float(np.sqrt(np.mean(np.square(sigma.forces))))
        for name, value in structure.items():
            of_structure.setdefault(name, []).append(value)
        for name, array in atom.items():
            of_atoms.setdefault(name, []).append(array)
        features.append(own)
    table.add("group", "structure", [item.config_type for item in labeled])
    table.add("atom group", "atom", [item.config_type for item in labeled for _ in item.atoms])
    table.add("element", "atom", [symbol for atoms in structures for symbol in atoms.symbols])
    for target, columns in (("structure", of_structure), ("atom", of_atoms)):
        for name, parts in columns.items():
            if np.isfinite(np.hstack(parts)).any():  # no labels at all are nothing to warn of
                table.add(name, target, np.hstack(parts), *_MEANING[name])
    return np.concatenate(features)


#: Of structures and of atoms; chemiscope shows atoms by the first numbers of them.
_AXES = ("map 1", "map 2", "atom map 1", "atom map 2")
#: What a page is colored by at first: the first of these that there is.
_COLORS = ("force error", "energy error", "self-interaction")
#: Units and descriptions.
_MEANING = {
    "atoms": ("", "number of atoms"),
    "self-interaction": ("", "‖B_self − B_canonical‖ / ‖B_self‖ over the atoms of the structure"),
    "atom self-interaction": ("", "‖B_self − B_canonical‖ / ‖B_self‖ of the atom"),
    "energy": ("eV/atom", "label"),
    "atom force": ("eV/Å", "length of the label"),
    "atom energy": ("eV", "of the model"),
    "energy error": ("eV/atom", "model minus label"),
    "atom force error": ("eV/Å", "length of model minus label"),
    "force error": ("eV/Å", "root mean square over the components"),
    "energy σ": ("eV/atom", "standard deviation"),
    "atom force σ": ("eV/Å", "standard deviation of a component"),
    "force σ": ("eV/Å", "standard deviation of a component, root mean square over the atoms"),
}


def _share(difference: np.ndarray, plain: np.ndarray, axis: int | None) -> np.ndarray:
    size = np.linalg.norm(plain, axis=axis)
    return np.linalg.norm(difference, axis=axis) / np.where(size > 0, size, 1.0)


def _maps(
    table: _Properties,
    structures: Sequence[Atoms],
    basis: ACEBasis,
    model: LinearACE | EmbeddedACE | None,
    rows: np.ndarray,
) -> list[str]:
    """Add the axes of both maps; return what they are."""
    species = np.concatenate([basis.species_indices(atoms) for atoms in structures])
    if model is not None:
        rows = model.energies_by_feature(rows, species)
    sizes = np.array([len(atoms) for atoms in structures])
    starts = np.cumsum(sizes) - sizes
    kinds = range(len(basis.species))
    sums = [np.add.reduceat(np.where((species == z)[:, None], rows, 0.0), starts, axis=0) for z in kinds]
    what = "energy parts of the model" if model is not None else "features in units of their spread"
    notes = [f"Maps: principal components of {len(basis)} {what}."]
    for name, target, points in (
        ("map", "structure", np.concatenate(sums, axis=1) / sizes[:, None]),
        ("atom map", "atom", rows),
    ):
        scores, shares = _principal_components(points, scaled=model is None)
        for k, share in enumerate(shares):
            described = f"principal component {k + 1}, {100 * share:.0f} % of the variance"
            table.add(f"{name} {k + 1}", target, scores[:, k], "eV" if model is not None else "", described)
        notes.append(f"The {name} shows {100 * shares[:2].sum():.0f} % of the variance of {target}s.")
    return notes


def _principal_components(points: np.ndarray, scaled: bool) -> tuple[np.ndarray, np.ndarray]:
    """Scores, shape (n, 3), and shares of the variance; the largest weight of each component is positive.

    A column that varies by no more than rounding is left out where columns are scaled to unit spread.
    """
    centered = points - points.mean(axis=0)
    if scaled:
        spread = centered.std(axis=0)
        varied = spread > 1e-10 * np.abs(points).max(axis=0, initial=1e-300)
        centered = centered[:, varied] / spread[varied]
    n, p = centered.shape
    scores, shares = np.zeros((n, _COMPONENTS)), np.zeros(_COMPONENTS)
    m = min(_COMPONENTS, p)
    if m and (total := np.square(centered).sum()) > 0:
        values, vectors = eigh(centered.T @ centered, subset_by_index=(p - m, p - 1))
        vectors = vectors[:, ::-1]
        vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), range(m)])
        scores[:, :m], shares[:m] = centered @ vectors, np.maximum(values[::-1], 0) / total
    return scores, shares


# --- page -------------------------------------------------------------------------------------------------------


def _page(dataset: Mapping[str, Any]) -> str:
    """Return the page with chemiscope, its license and the data inside."""
    files = distribution("chemiscope")
    script = files.locate_file("chemiscope/sphinx/static/chemiscope.min.js")
    licenses = [file for file in files.files or () if file.name.startswith("LICENSE")]
    text = json.dumps(_without_nan(dataset), allow_nan=False, separators=(",", ":"))
    packed = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    with open(os.fspath(script), encoding="utf-8") as opened:  # type: ignore[call-overload]
        library = opened.read().replace("</script", "<\\/script")
    parts = {
        "TITLE": html.escape(str(dataset["meta"]["name"])),
        "LICENSE": html.escape("\n\n".join(file.read_text(encoding="utf-8") for file in licenses)),
        "LIBRARY": library,
        "DATA": packed,
    }
    page, rest = "", _TEMPLATE
    for name, value in parts.items():  # in the order of the template; what was put in is not searched again
        before, _, rest = rest.partition(f"@{name}@")
        page += before + value
    return page + rest


def _without_nan(value: Any) -> Any:
    """JSON knows no NaN: null, which the page reads as NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value


_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; worker-src blob:; connect-src data: blob:">
<title>@TITLE@</title>
<style>
body { margin: 0; font-family: sans-serif }
* { box-sizing: border-box }
#page { display: grid; grid-template: 100vh / 3fr 2fr; overflow: hidden }
#page > div { display: flex; flex-direction: column; min-width: 0; min-height: 0; overflow: hidden }
#map, #structure { flex: 1; min-height: 0; position: relative }
#map { padding-bottom: 2.5em }
#said { position: fixed; bottom: 0; left: 0; background: #fec; font-size: 80% }
details { font-size: 70%; max-height: 40vh; overflow: auto }
</style>
</head>
<body>
<div id="page">
<div><div id="meta"></div><div id="map"></div><details><summary>made with chemiscope; its license</summary><pre>@LICENSE@</pre></details></div>
<div><div id="structure"></div><div id="info"></div></div>
</div>
<div id="said"></div>
<script>@LIBRARY@</script>
<script>
"use strict";
async function show() {
  const bytes = Uint8Array.from(atob("@DATA@"), c => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const dataset = JSON.parse(await new Response(stream).text(), (key, value) => value === null ? NaN : value);
  const say = message => { document.getElementById("said").textContent = message; };
  const warnings = new Chemiscope.Warnings();
  warnings.addHandler(say);
  const places = { meta: "meta", map: "map", info: "info", structure: "structure" };
  try {
    window.visualizer = await Chemiscope.DefaultVisualizer.load(places, dataset, warnings);
    document.body.dataset.state = "shown";
  } catch (error) {
    say("this page cannot be shown: " + error);
    console.error(error);
  }
}
show();
</script>
</body>
</html>
"""  # noqa: E501
