"""`acepure basis`: how large a basis is, and how sparse its operators."""

from __future__ import annotations

import argparse
from time import perf_counter
from typing import Any

import numpy as np

from acepure.cli.options import RADIAL_HELP, add_specification
from acepure.cli.parts import describe, ready_basis
from acepure.features.basis import ACEBasis

_EPILOG = f"""\
examples:
  acepure basis --species Cu --order 3 --totaldegree 12
  acepure basis --species Cu Zr --totaldegree 20,16,12 --wL 1.5 --n-start 1
  acepure basis --species Si --order 4 --n-functions 500

columns:
  features    invariant functions B
  products    products of neighbor sums that B is made of
  extended    products that evaluation computes; those that take self-interaction out are among them
  C, C_ext    maps from products and from extended products to invariants
  P_B         map that takes self-interaction out of invariants: B = P_B C_ext AA_ext

{RADIAL_HELP}"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "basis",
        _run,
        help="show how large a basis is, and how sparse its operators",
        description="Show the sizes of a basis, the non-zeros of its operators, and how long it takes to set up.",
        epilog=_EPILOG,
    )
    add_specification(command, species_required=True)


def _run(arguments: argparse.Namespace) -> None:
    start = perf_counter()
    basis = ready_basis(arguments.species, arguments)
    set_up = perf_counter() - start
    print(f"{describe(basis)}\n\n{_table(basis)}\n\nset up in {set_up:.2f} s")


def _table(basis: ACEBasis) -> str:
    """Sizes and non-zeros by order, and the shapes and densities of the operators."""
    operators = basis.operators(basis.species[0])
    n_orders = basis.order
    products = _orders(operators.products)
    extended = _orders(operators.extended_products)
    rows: dict[str, Any] = {
        "features": basis.specification.sizes,
        "products": _by_order(products, np.ones(len(products)), n_orders),
        "extended": _by_order(extended, np.ones(len(extended)), n_orders),
    }
    maps: dict[str, Any] = {"C": operators.symmetrization}
    if basis.canonical:
        maps |= {"C_ext": operators.extended_symmetrization, "P_B": operators.invariant_purification}
    # Invariants do not mix orders, so that the first product of a row tells the order of the row.
    feature_orders = products[maps["C"].indices[maps["C"].indptr[:-1]]]
    for name, matrix in maps.items():
        C_ext = operators.extended_symmetrization
        orders = extended[C_ext.indices[C_ext.indptr[:-1]]] if name == "C_ext" else feature_orders
        rows[f"nnz {name}"] = _by_order(orders, np.diff(matrix.indptr), n_orders)
    lines = [f"{'':8}" + "".join(f"{name:>12}" for name in rows)]
    for nu in range(1, n_orders + 1):
        lines.append(f"{f'ν = {nu}':8}" + "".join(f"{int(counts[nu - 1]):12,}" for counts in rows.values()))
    lines.append(f"{'all':8}" + "".join(f"{int(sum(counts)):12,}" for counts in rows.values()))
    lines += ["", f"{'':8}{'rows':>12}{'columns':>12}{'non-zeros':>12}{'density':>12}"]
    for name, matrix in maps.items():
        n_rows, n_columns = matrix.shape
        density = f"{100 * matrix.nnz / (n_rows * n_columns):.3g} %"
        lines.append(f"{name:8}{n_rows:12,}{n_columns:12,}{matrix.nnz:12,}{density:>12}")
    return "\n".join(lines)


def _orders(products: Any) -> np.ndarray:
    """Correlation order of each product of a `ProductSet`."""
    return np.concatenate([np.full(len(run), run.shape[1]) for run in products.factors])


def _by_order(orders: np.ndarray, weights: np.ndarray, n_orders: int) -> np.ndarray:
    return np.bincount(orders, weights, minlength=n_orders + 1)[1 : n_orders + 1]
