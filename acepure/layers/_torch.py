"""PyTorch, an optional dependency that is loaded when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__: list[str] = []  # of no use outside

#: A torch.Tensor; the library needs none of its hints.
Tensor = Any


class _Torch:
    """Attributes of the module, which takes seconds to load."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what doctest and copy ask of every object
            raise AttributeError(name)
        try:
            value = getattr(import_module("torch"), name)
        except ImportError:
            raise ImportError('this needs PyTorch: pip install "acepure[torch]"') from None
        setattr(self, name, value)
        return value


torch: Any = _Torch()
