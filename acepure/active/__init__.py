"""Which structures to compute next: selection from a pool."""

from acepure.active.selection import Selection, select

__all__ = ["Selection", "select"]
