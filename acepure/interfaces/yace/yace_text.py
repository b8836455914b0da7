"""The text of a .yace file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, groupby

import numpy as np

from acepure.interfaces.yace.bonds import Bond, TableBond
from acepure.interfaces.yace.embeddings import FileEmbedding
from acepure.interfaces.yace.evaluator import Terms, YaceContent

# Comments, by which a file that was cut short between two functions is recognized.
FIRST_LINE, LAST_LINE = "# Written by acepure", "# End of file"
# Where F ends, and over what range, in files without cores.
_NO_CORE = (100000.0, 250.0)


def yace_text(potential: YaceContent, comments: Iterable[str] = ()) -> str:
    """Return the file of a potential; numbers are written exactly.

    Parameters
    ----------
    potential : YaceContent
    comments : iterable of str
        Lines for its head.
    """
    head = [FIRST_LINE, *(f"# {line}" for line in comments)]
    return "\n".join([*head, *_lines(potential), LAST_LINE]) + "\n"


def _lines(potential: YaceContent) -> Iterator[str]:
    yield f"elements: [{', '.join(potential.elements)}]"
    yield f"E0: {_floats(potential.E0)}"
    steps = [b.step for b in potential.bonds.values() if isinstance(b, TableBond)]
    yield f"deltaSplineBins: {_float(min(steps, default=0.001))}"
    if not steps:  # asked for by this family alone
        yield f"lmax: {max((int(t.ls.max(initial=0)) for terms in potential.terms for t in terms), default=0)}"
    yield "embeddings:"
    yield from (f"  {z}: {_embedding(embedding)}" for z, embedding in enumerate(potential.embeddings))
    yield "bonds:"
    yield from (f"  [{i}, {j}]: {_bond(bond)}" for (i, j), bond in sorted(potential.bonds.items()))
    yield "functions:"
    for z, center in enumerate(potential.terms):
        functions = [line for terms in center for line in _functions(z, terms)]
        yield f"  {z}:" + ("" if functions else " []")
        yield from functions


def _embedding(embedding: FileEmbedding) -> str:
    parameters = np.column_stack([embedding.weights, embedding.exponents]).ravel()
    end, width = (embedding.core_end, embedding.core_width) if np.isfinite(embedding.core_end) else _NO_CORE
    return (
        f"{{ndensity: {embedding.n_densities}, FS_parameters: {_floats(parameters)}, npoti: {embedding.kind}, "
        f"rho_core_cutoff: {_float(end)}, drho_core_cutoff: {_float(width)}}}"
    )


def _bond(bond: Bond) -> str:
    if isinstance(bond, TableBond):
        n_radial, n_l, n_base = bond.coefficients.shape
        table = ", ".join("[" + ", ".join(_floats(row) for row in rows) + "]" for rows in bond.coefficients)
        core = bond.core
        return (
            f"{{nradmax: {n_radial}, lmax: {n_l - 1}, nradbasemax: {n_base}, radbasename: {bond.family}, "
            f"radparameters: [{_float(bond.parameter)}], radcoefficients: [{table}], "
            f"prehc: {_float(core.strength)}, lambdahc: {_float(core.decay)}, rcut: {_float(bond.rcut)}, "
            f"dcut: {_float(bond.dcut)}, rcut_in: {_float(core.end)}, dcut_in: {_float(core.width)}, "
            f"inner_cutoff_type: {core.kind}}}"
        )
    A, B, C = (_floats(column) for column in bond.recurrence.T)
    return (
        f"{{radbasename: ACE.jl.base, rcut: {_float(bond.rcut)}, r0: {_float(bond.r0)}, p: {bond.p}, "
        f"xl: {_float(bond.xl)}, xr: {_float(bond.xr)}, pl: {bond.pl}, pr: {bond.pr}, "
        f"maxn: {len(bond.recurrence)}, recursion_coefficients: {{A: {A}, B: {B}, C: {C}}}}}"
    )


def _functions(z: int, terms: Terms) -> Iterator[str]:
    """One line for the terms that differ in their m alone."""
    rank, n_densities = terms.mus.shape[1], terms.ctildes.shape[1]
    rows = zip(*(array.tolist() for array in (terms.mus, terms.ns + 1, terms.ls, terms.ms, terms.ctildes)))
    for (mus, ns, ls), group in groupby(sorted(rows), key=lambda row: row[:3]):
        ms, values = zip(*(row[3:] for row in group))
        yield (
            f"    - {{mu0: {z}, rank: {rank}, ndensity: {n_densities}, num_ms_combs: {len(values)}, "
            f"mus: {mus}, ns: {ns}, ls: {ls}, "
            f"ms_combs: {list(chain.from_iterable(ms))}, ctildes: {_floats(chain.from_iterable(values))}}}"
        )


def _floats(values: Iterable[float]) -> str:
    return f"[{', '.join(_float(v) for v in values)}]"


def _float(value: float) -> str:
    """The shortest text that is read back the same; YAML takes 1e-05 for a word, but not 1.0e-05."""
    text = repr(float(value))
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}.0e{exponent}" if e and "." not in mantissa else text
