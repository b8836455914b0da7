"""Options of `acepure fit` for layers of messages."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from typing import Any

from acepure.cli.options import add_number
from acepure.cli.parts import basis_arguments
from acepure.features.basis import ACEBasis
from acepure.fitting import LabeledSet
from acepure.functions.radial import PolynomialRadialBasis
from acepure.layers.model import LayeredACE

__all__: list[str] = []  # of no use outside

_DEPENDENT = ("channels", "messages", "message_order", "message_l_max", "base", "minutes", "steps", "seed")
_PLAIN, _NONE = "plain", "none"


def add_layers(command: argparse.ArgumentParser) -> None:
    """Add the options that say which layers, and how long they are trained."""
    group = command.add_argument_group(
        "layers of messages", "Between atoms, on top of a linear potential; needs PyTorch, the extra torch."
    )
    add_number(group, "--layers", "how many; default none", metavar="1|2")
    add_number(group, "--channels", "messages side by side; default 16", metavar="K")
    kinds = ("siblings", "no-backtracking", _PLAIN)
    about = "over distinct neighbors (default), and without walks that turn back, or over all, as in MACE"
    group.add_argument("--messages", choices=kinds, help=about)
    add_number(group, "--message-order", "neighbors in one message; default 3", metavar="2|3")
    add_number(group, "--message-l-max", "largest degree of harmonics; default 2", least=0, metavar="L")
    bases = ("linear", "pair", _NONE)
    group.add_argument("--base", choices=bases, help="what is fitted first: a linear potential (default), or less")
    add_number(group, "--minutes", "of training; default 5", kind=float, metavar="T")
    add_number(group, "--steps", "of training, in place of --minutes")
    add_number(group, "--seed", "of training; default 0", least=0)


def check_layers(arguments: argparse.Namespace) -> None:
    """Raise for options that do not fit together, before structures are looked at."""
    given = [name for name in _DEPENDENT if getattr(arguments, name) is not None]
    if arguments.layers is None:
        if given:
            raise ValueError(f"--{given[0].replace('_', '-')} is for layers of messages, with --layers 1 or 2")
        return
    if find_spec("torch") is None:
        raise ValueError('--layers needs PyTorch: pip install "acepure[torch]"')
    for name in ("embedding", "target", "self_interacting", "report"):
        if getattr(arguments, name):
            raise ValueError(f"--layers and --{name.replace('_', '-')} exclude each other")
    functions = [name for name in basis_arguments(arguments) if name not in ("rcut", "radial")]
    if arguments.base in ("pair", _NONE) and (functions or arguments.size or arguments.transform or arguments.envelope):
        raise ValueError(f"--base {arguments.base} has pair terms alone; of functions --rcut is the only option")


def fit_layered(
    train: LabeledSet, basis: ACEBasis | None, *, arguments: argparse.Namespace, canonical: bool, **options: Any
) -> LayeredACE:
    """Fit base and layers; `options` are those of the linear fit."""
    assert canonical  # of the base
    given: dict[str, Any] = {"layers": arguments.layers, **options}
    for name, target in (("message_order", "order"), ("message_l_max", "l_max")):
        if getattr(arguments, name) is not None:
            given[target] = getattr(arguments, name)
    for name in ("channels", "minutes", "steps", "seed"):
        if getattr(arguments, name) is not None:
            given[name] = getattr(arguments, name)
    if arguments.messages is not None:
        given["canonical"] = False if arguments.messages == _PLAIN else arguments.messages
    if arguments.base in ("pair", _NONE):
        rcut = basis.radial.rcut if basis is not None and isinstance(basis.radial, PolynomialRadialBasis) else None
        return LayeredACE.fit(train, base=None if arguments.base == _NONE else "pair", rcut=rcut, **given)
    return LayeredACE.fit(train, basis, **given)
