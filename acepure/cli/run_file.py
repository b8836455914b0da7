"""Run files of `acepure fit`: every choice that a fit made, as TOML, from which the same fit is made again."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

from acepure._utils.files import atomic_write

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_HEAD = "# `acepure fit` with this file makes the same model again; options given with it come first.\n"
_NONE = "none"
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def read_run_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the values of a run file.

    Raises
    ------
    ValueError
        For a file that is no TOML.
    """
    with open(path, "rb") as file:
        try:
            values = tomllib.load(file)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{os.fspath(path)!r} is no run file: {error}") from None
    return {name: _with_none(value) if isinstance(value, Mapping) else value for name, value in values.items()}


def _with_none(value: Any) -> Any:
    """Tables with None again: TOML has no word for it."""
    if isinstance(value, Mapping):
        return {name: None if inner == _NONE else _with_none(inner) for name, inner in value.items()}
    return value


def write_run_file(path: str | os.PathLike[str], values: Mapping[str, Any]) -> None:
    """Write values of JSON types; what is None is left out, or "none" in a table.

    Floats are written with all their digits.
    """
    tables = {name: value for name, value in values.items() if isinstance(value, Mapping)}
    lines = [_HEAD, *_entries({name: value for name, value in values.items() if name not in tables})]
    for name, table in tables.items():
        lines += [f"\n[{_key(name)}]\n", *_entries({k: _NONE if v is None else v for k, v in table.items()})]
    with atomic_write(path) as written, open(written, "w", encoding="utf-8") as file:
        file.writelines(lines)


def _entries(values: Mapping[str, Any]) -> list[str]:
    return [f"{_key(name)} = {_value(value, 80)}\n" for name, value in values.items() if value is not None]


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _value(value: Any, width: int = 0) -> str:
    """One value; lists that are longer than the width, with an element on each line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(k)} = {_value(_NONE if v is None else v)}' for k, v in value.items())} }}"
    if isinstance(value, (list, tuple)):
        elements = [_value(element) for element in value]
        line = f"[{', '.join(elements)}]"
        return line if not width or len(line) <= width else "[\n" + "".join(f"    {e},\n" for e in elements) + "]"
    raise TypeError(f"a run file holds numbers, text, lists and mappings; got {value!r}")
