"""Results of experiments: columns by name, printed as a Markdown table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Table:
    """A table that prints.

    Attributes
    ----------
    title : str
        What was done, in one line.
    columns : tuple of str
    rows : tuple of tuple
        Text, integers and floats.

    Examples
    --------
    >>> table = Table("Squares.", ("x", "x²"), ((2, 4.0), (3, 9.0)))
    >>> table.column("x²")
    array([4., 9.])
    >>> print(table)
    Squares.
    <BLANKLINE>
    | x | x² |
    |--:|---:|
    | 2 |  4 |
    | 3 |  9 |
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def column(self, name: str) -> np.ndarray:
        """Return one column, shape (n_rows,)."""
        if name not in self.columns:
            raise ValueError(f"name must be one of {', '.join(self.columns)}; got {name!r}")
        return np.array([row[self.columns.index(name)] for row in self.rows])

    def __str__(self) -> str:
        cells = [self.columns, *([_text(value) for value in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells)]
        lines = ["| " + " | ".join(cell.rjust(width) for cell, width in zip(row, widths)) + " |" for row in cells]
        ruler = "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|"
        return "\n".join([self.title, "", lines[0], ruler, *lines[1:]])


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, (float, np.floating)) else str(value)
