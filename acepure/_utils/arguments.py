"""One name per argument, and the spellings that users bring from other codes, resolved in one place."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

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


def resolve_synonyms(named: Mapping[str, Any], others: Mapping[str, Any], caller: str) -> dict[str, Any]:
    """Return the arguments under the names of this package.

    Parameters
    ----------
    named : mapping
        All arguments that `caller` names, with their values; None where nothing was given.
    others : mapping
        What was given under other names.
    caller : str
        For the message.

    Raises
    ------
    TypeError
        For an unknown argument, with the nearest known one, and for one given twice under two spellings.

    Examples
    --------
    >>> resolve_synonyms({"rcut": None, "order": 2}, {"cutoff": 5.0}, "descriptors")
    {'rcut': 5.0, 'order': 2}
    """
    result = dict(named)
    spelled = {name: name for name, value in named.items() if value is not None}
    for spelling, value in others.items():
        name = SYNONYMS.get(spelling, spelling)
        if name not in named:
            near = difflib.get_close_matches(spelling, [*named, *SYNONYMS], n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; it takes {', '.join(named)}"
            raise TypeError(f"{caller}() got an unknown argument {spelling!r}{hint}")
        if name in spelled:
            raise TypeError(f"{caller}() got {name} twice, as {spelled[name]!r} and as {spelling!r}")
        result[name], spelled[name] = value, spelling
    return result
