"""One name per argument, and the spellings that users bring from other codes, resolved in one place."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["SYNONYMS", "resolve_arguments"]

#: Spelling elsewhere → name here.
SYNONYMS = {
    "cutoff": "rcut",
    "r_cut": "rcut",
    "nu_max": "order",
    "correlation": "order",
    "correlation_order": "order",
    "nmax": "n_max",
    "lmax": "l_max",
    "total_degree": "totaldegree",
}


def resolve_arguments(arguments: Mapping[str, Any], known: Iterable[str], caller: str) -> dict[str, Any]:
    """Return the arguments under the names of this package.

    Parameters
    ----------
    arguments : mapping
        Keyword arguments as given.
    known : iterable of str
        Names that `caller` takes.
    caller : str
        For the message.

    Raises
    ------
    TypeError
        For an unknown argument, with the nearest known one, and for one given twice under two spellings.

    Examples
    --------
    >>> resolve_arguments({"cutoff": 5.0}, ["rcut", "order"], "descriptors")
    {'rcut': 5.0}
    """
    known = list(known)
    result: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    for spelling, value in arguments.items():
        name = SYNONYMS.get(spelling, spelling)
        if name not in known:
            near = difflib.get_close_matches(spelling, [*known, *SYNONYMS], n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; it takes {', '.join(known)}"
            raise TypeError(f"{caller}() got an unknown argument {spelling!r}{hint}")
        if name in result:
            raise TypeError(f"{caller}() got {name} twice, as {spelled[name]!r} and as {spelling!r}")
        result[name], spelled[name] = value, spelling
    return result
