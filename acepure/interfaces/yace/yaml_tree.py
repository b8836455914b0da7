"""YAML as nested lists, dicts and words, for files that nobody vouches for.

PyYAML finds the words and brackets; the tree is built here, with a bound on its depth and without anchors, aliases and
tags, so that nothing in a file is executed, repeated or nested without end. Words stay text: who asks for a
number converts it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import yaml

# libyaml is ten times faster, where PyYAML comes with it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 10


class YaceError(ValueError):
    """A .yace file is damaged, foreign, or asks for what is not supported; the message says which."""


def yaml_tree(text: str) -> Any:
    """Return the content of a YAML document: str, list, or dict; sequences that are keys become tuples.

    Parameters
    ----------
    text : str

    Raises
    ------
    YaceError
        For what is no YAML, holds anchors, aliases or tags, is nested deeper than 10 levels, or names a key twice.

    Examples
    --------
    >>> yaml_tree("{bonds: {[0, 1]: {rcut: 5.0}}}")
    {'bonds': {('0', '1'): {'rcut': '5.0'}}}
    """
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise YaceError(f"is no YAML: {problem}{_place(getattr(error, 'problem_mark', None))}") from None
    if len(builder.documents) != 1:
        raise YaceError(f"holds {len(builder.documents)} YAML documents; one is needed")
    return builder.documents[0]


class _Builder:
    """Takes one event after the other."""

    def __init__(self) -> None:
        self.documents: list[Any] = []
        self._open: list[tuple[type, list[Any]]] = []  # kinds and items of what has begun and not ended

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._check(event)
            self._add(event.value, event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._check(event)
            if len(self._open) == _DEEPEST:
                raise YaceError(f"is nested deeper than {_DEEPEST} levels{_place(event.start_mark)}")
            self._open.append((dict if isinstance(event, yaml.MappingStartEvent) else list, []))
        elif isinstance(event, yaml.CollectionEndEvent):
            kind, items = self._open.pop()
            self._add(_mapping(items, event) if kind is dict else items, event)
        elif isinstance(event, yaml.AliasEvent):
            raise YaceError(f"holds an alias{_place(event.start_mark)}, which is not supported")

    def _check(self, event: yaml.NodeEvent) -> None:
        if event.anchor is not None or event.tag is not None:
            raise YaceError(f"holds an anchor or a tag{_place(event.start_mark)}, which is not supported")

    def _add(self, value: Any, event: yaml.Event) -> None:
        (self._open[-1][1] if self._open else self.documents).append(value)


def _mapping(items: list[Any], event: yaml.Event) -> dict[Any, Any]:
    keys = [tuple(k) if isinstance(k, list) else k for k in items[::2]]
    if not all(isinstance(word, str) for k in keys for word in (k if isinstance(k, tuple) else (k,))):
        raise YaceError(f"holds keys that are no words, before{_place(event.start_mark)}")
    result = dict(zip(keys, items[1::2]))
    if len(result) < len(keys):
        twice = next(k for k, n in Counter(keys).items() if n > 1)
        raise YaceError(f"names the key {twice!r} twice, before{_place(event.start_mark)}")
    return result


def _place(mark: yaml.Mark | None) -> str:
    return "" if mark is None else f" line {mark.line + 1}"
