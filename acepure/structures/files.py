"""StructureFiles: structures of one or several files, read one at a time and never held as a whole."""

from __future__ import annotations

import io
import os
import reprlib
import shutil
import sqlite3
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import islice
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ase.db
import ase.io
from ase import Atoms
from ase.io.extxyz import key_val_str_to_dict
from ase.io.formats import filetype, get_compression, get_ioformat, open_with_compression
from ase.io.trajectory import TrajectoryReader
from ase.utils import string2index

from acepure.structures.gate import check_structure

__all__ = ["StructureFiles"]

_ROWS_PER_QUERY = 100  # of a database; ASE holds the rows of one query together
_MOST_CELL_VECTORS = 3  # lines VEC1, VEC2, VEC3 may follow the atoms
_ALL = range(sys.maxsize)
# Number in the file, and structure.
_Numbered = Generator[tuple[int, Atoms], None, None]


class StructureFiles:
    """Structures of one or several files, one at a time, as often as needed.

    Every loop opens the files anew, so that functions that go through structures more than once work for files that do
    not fit in memory. It is no list: there is no ``files[k]``.

    Parameters
    ----------
    paths : str, os.PathLike, or sequence of them
        Files in any format that ASE reads, one after the other. Extended XYZ, also compressed (.xz, .gz, .bz2),
        trajectories and databases (.db) are read piece by piece; for other formats that depends on ASE.
    index : str, int or slice
        Which structures of each file: ":" (all), "::10", "-100:", 0, ...; steps must be positive.

    Raises
    ------
    TypeError, ValueError
        For wrong arguments, an empty file or an unknown format, at once; for a damaged file, a file cut short, a file
        without chosen structures, and one that changed since this object was made, when it is reached.
    FileNotFoundError
        For a missing file, at once.

    Notes
    -----
    Rows of databases carry their key-value pairs in ``atoms.info``, and energies, forces and stress in ``atoms.calc``.
    Blank lines between the structures of an extended XYZ file are passed over, where ASE would end the file.
    ``len()`` goes through the files once and remembers; so does the first complete loop.

    Examples
    --------
    >>> import tempfile
    >>> from ase.build import bulk
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ase.io.write(f"{folder}/copper.extxyz", [bulk("Cu", a=a) for a in (3.5, 3.6, 3.7)])
    ...     files = StructureFiles(f"{folder}/copper.extxyz", index="1:")
    ...     len(files), [len(atoms) for atoms in files], Path(files.name(0)).name
    (2, [1, 1], 'copper.extxyz[1]')
    """

    def __init__(self, paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], index: object = ":") -> None:
        self.paths: tuple[str, ...] = _checked_paths(paths)
        self.index: slice = _checked_index(index)
        self._signatures = [_signature(path) for path in self.paths]
        self._formats = [_format(path) for path in self.paths]
        self._counts: dict[int, int] = {}  # chosen structures, by file
        self._lengths: dict[int, int] = {}  # all structures, by file

    def __iter__(self) -> Iterator[Atoms]:
        for file in range(len(self.paths)):
            yield from self._structures(file)

    def __len__(self) -> int:
        return sum(self._count(file) for file in range(len(self.paths)))

    def __repr__(self) -> str:
        return f"StructureFiles({list(self.paths)!r}, index={_text(self.index)!r})"

    def name(self, k: int) -> str:
        """Return where structure k comes from, "file.extxyz[12]", counted from 0 within the file, for messages."""
        for file, path in enumerate(self.paths):
            try:
                n_here = self._count(file)
            except (ValueError, OSError):  # a damaged file: what was read of it came before the damage
                n_here = k + 1
            if k < n_here:
                return f"{path}[{self._numbers(file)[k]}]"
            k -= n_here
        return f"{self.paths[-1]}[?]"

    # --- one file -----------------------------------------------------------------------------------------------------

    def _structures(self, file: int) -> Iterator[Atoms]:
        self._check_unchanged(file)
        path, n_found = self.paths[file], 0
        for number, atoms in self._read(file):
            check_structure(atoms, f"{path}[{number}]")
            n_found += 1
            yield atoms
        self._note_count(file, n_found)

    def _count(self, file: int) -> int:
        if file not in self._counts:
            self._check_unchanged(file)
            self._note_count(file, len(range(self._length(file))[self.index]))
        return self._counts[file]

    def _note_count(self, file: int, n_found: int) -> None:
        """Remember a file that was gone through; what is remembered must be of the file as it was."""
        self._check_unchanged(file)
        if n_found == 0:
            raise ValueError(f"cannot read {self.paths[file]!r}: it holds no structure for index {_text(self.index)}")
        self._counts[file] = n_found

    def _check_unchanged(self, file: int) -> None:
        if _signature(self.paths[file]) != self._signatures[file]:
            raise ValueError(
                f"{self.paths[file]!r} has changed since it was opened (its size or its time of change); "
                "make a new StructureFiles"
            )

    def _numbers(self, file: int) -> range:
        """Numbers, in the file, of the structures that are chosen; it may go on behind the end of the file."""
        start, stop = self.index.start or 0, self.index.stop
        if start >= 0 and (stop is None or stop >= 0):
            return _ALL[self.index]
        return range(self._length(file))[self.index]

    def _length(self, file: int) -> int:
        """Number of all structures in the file, looked for once."""
        if file not in self._lengths:
            self._lengths[file] = self._counted(file)
            self._check_unchanged(file)
        return self._lengths[file]

    def _counted(self, file: int) -> int:
        path, form = self.paths[file], self._formats[file]
        with _naming(path):
            if form == "extxyz":
                return sum(1 for _ in _frames(path))
            if form == "db":
                with _connected(path) as database:
                    return database.count()
            if form == "traj":
                with _unpacked(path) as plain, open(plain, "rb") as stream:
                    return len(TrajectoryReader(stream))
            return sum(1 for _ in _any_format(path, form, _ALL))

    def _read(self, file: int) -> _Numbered:
        """Number and structure of all that are chosen; whatever the parsers raise names the file."""
        path, form = self.paths[file], self._formats[file]
        numbers = self._numbers(file)
        reader = {"extxyz": _extended_xyz, "db": _database, "traj": _trajectory}.get(form)
        found = reader(path, numbers) if reader else _any_format(path, form, numbers)
        with closing(found):
            while True:
                with _naming(path):
                    item = next(found, None)
                if item is None:
                    return
                yield item


# --- formats: each yields the number and the structure of all that are chosen -----------------------------------------


def _extended_xyz(path: str, numbers: range) -> _Numbered:
    last = numbers[-1] if numbers else -1
    for number, text in enumerate(_frames(path)):
        if number > last:
            return
        if number in numbers:
            name = f"{path}[{number}]"
            with _naming(name):
                parser = partial(_comment, name, text)
                atoms: Any = ase.io.read(io.StringIO(text), index=0, format="extxyz", properties_parser=parser)
            yield number, atoms


def _comment(name: str, text: str, line: str) -> dict[str, Any]:
    """What the comment line of a structure says; ASE would make all columns that it declares, however many."""
    said = key_val_str_to_dict(line)
    declared = said.get("Properties")
    if isinstance(declared, str):
        columns = sum(max(int(width), 0) for width in declared.split(":")[2::3])
        found = sum(len(atom.split()) for atom in text.split("\n", 3)[2:3])
        if columns > found:
            there = f"the first atom has {found}" if found else "no atom follows"
            raise _UnreadableError(
                f"cannot read {name!r}: its comment line declares {reprlib.repr(columns)} columns, and {there}"
            )
    return said


def _frames(path: str) -> Iterator[str]:
    """Yield the text of each structure of an extended XYZ file; ASE's own reader goes through the file twice."""
    # Editors of Windows begin files with a byte-order mark.
    with io.TextIOWrapper(open_with_compression(path, "rb"), encoding="utf-8-sig") as lines:
        number, line = 0, next(lines, "")
        while line:
            if not line.strip():
                line = next(lines, "")
                continue
            frame, line = _frame(lines, line, f"{path}[{number}]")
            number += 1
            yield frame


def _frame(lines: Iterator[str], first: str, name: str) -> tuple[str, str]:
    """Return the text of the structure that begins with the line `first`, and the line that follows it."""
    if not first.strip().isdecimal():
        raise _UnreadableError(
            f"cannot read {name!r}: a number of atoms should stand where {first.strip()[:40]!r} stands"
        )
    n_atoms = int(first)
    frame = [first, *islice(lines, n_atoms + 1)]
    if len(frame) < n_atoms + 2:
        found = max(len(frame) - 2, 0)
        raise _UnreadableError(f"cannot read {name!r}: it is cut short, {found} of {n_atoms} atoms are there")
    _check_last_line(frame[2:], name)
    line = next(lines, "")
    while line.lstrip().startswith("VEC") and len(frame) < n_atoms + 2 + _MOST_CELL_VECTORS:
        frame.append(line)
        line = next(lines, "")
    return "".join(frame), line


def _check_last_line(atoms: list[str], name: str) -> None:
    """Refuse a last number that lost digits: no line break, and shorter than lines that all have one length."""
    if len(atoms) > 2 and not atoms[-1].endswith("\n"):
        lengths = {len(line.rstrip("\n")) for line in atoms[:-1]}
        if len(lengths) == 1 and len(atoms[-1]) < lengths.pop():
            raise _UnreadableError(
                f"cannot read {name!r}: its last line is cut short; if it is complete, end it with a line break"
            )


def _trajectory(path: str, numbers: range) -> _Numbered:
    with _unpacked(path) as plain, open(plain, "rb") as stream:
        trajectory = TrajectoryReader(stream)
        for number in range(len(trajectory))[numbers.start : numbers.stop : numbers.step]:
            with _naming(f"{path}[{number}]"):
                atoms = trajectory[number]
            yield number, atoms


def _database(path: str, numbers: range) -> _Numbered:
    """Rows in the order of their ids, a page at a time; a JSON file is in memory anyway."""
    limit = None if path.endswith(".json") else _ROWS_PER_QUERY
    with _connected(path) as database:
        for number, row in enumerate(_rows(database, limit)):
            if number >= numbers.stop:
                return
            if number in numbers:
                with _naming(f"{path}[{number}]"):
                    atoms = row.toatoms()
                    atoms.info.update(row.key_value_pairs)
                yield number, atoms


def _rows(database: ase.db.core.Database, limit: int | None) -> Iterator[Any]:
    last_id = -1
    while True:
        page = list(database.select(f"id>{last_id}", limit=limit, include_data=False))
        yield from page
        if limit is None or len(page) < limit:
            return
        last_id = page[-1].id


@contextmanager
def _connected(path: str) -> Iterator[ase.db.core.Database]:
    """The database, closed in the end; a file that is none stays as it is, where ASE would make it one."""
    if not path.endswith(".db"):
        yield ase.db.connect(path, use_lock_file=False)
        return
    with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)) as connection:
        connection.execute("SELECT id FROM systems LIMIT 1")
    with ase.db.connect(path, use_lock_file=False) as database:
        yield database


def _any_format(path: str, form: str, numbers: range) -> _Numbered:
    with _unpacked(path) as plain:
        found: Any = ase.io.iread(plain, ":", format=form, do_not_split_by_at_sign=True)  # a generator
        with closing(found):
            for number, atoms in enumerate(found):
                if number >= numbers.stop:
                    return
                if number in numbers:
                    yield number, atoms


@contextmanager
def _unpacked(path: str) -> Iterator[str]:
    """The file, or an unpacked copy: readers jump, and every jump back would unpack from the beginning."""
    root, compression = get_compression(path)
    if compression is None:
        yield path
        return
    with TemporaryDirectory() as folder:
        plain = os.path.join(folder, os.path.basename(root))
        with open_with_compression(path, "rb") as packed, open(plain, "wb") as copy:
            shutil.copyfileobj(packed, copy)
        yield plain


# --- checks and messages ----------------------------------------------------------------------------------------------


class _UnreadableError(ValueError):
    """The message names the file already."""


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Say which file, or which structure of it, an error inside the block is about; parsers raise whatever comes up."""
    try:
        yield
    except (_UnreadableError, MemoryError):
        raise
    except Exception as error:
        raise _UnreadableError(f"cannot read {name!r}: {type(error).__name__}: {error}") from error


def _checked_paths(paths: object) -> tuple[str, ...]:
    several = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    if not isinstance(several, Sequence) or not all(isinstance(path, (str, os.PathLike)) for path in several):
        raise TypeError(f"paths must be the name of a file or a sequence of names; got {paths!r}")
    if not several:
        raise ValueError("paths is empty; at least one file is needed")
    return tuple(os.fsdecode(path) for path in several)


def _checked_index(index: Any) -> slice:
    wanted = 'index must be as in ASE, such as ":", "::10", "-100:" or 0'
    try:
        index = string2index(index) if isinstance(index, str) else index
        if isinstance(index, Integral):
            index = slice(index, index + 1 or None)
        range(0)[index]  # refuses what is no slice of integers
        steps = index.step is None or index.step > 0
    except (TypeError, ValueError, AttributeError):
        raise TypeError(f"{wanted}; got {index!r}") from None
    if not steps:
        raise ValueError(f"{wanted}, with a positive step: files are read forwards; got {_text(index)}")
    return index


def _text(index: slice) -> str:
    if index.start is not None and index.step is None and index.stop == (index.start + 1 or None):
        return str(index.start)
    parts = [index.start, index.stop] + ([] if index.step is None else [index.step])
    return ":".join("" if part is None else str(part) for part in parts)


def _signature(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"cannot read {path!r}: there is no such file") from None
    if found.st_size == 0:
        raise ValueError(f"cannot read {path!r}: it is empty")
    return found.st_size, found.st_mtime_ns


def _format(path: str) -> str:
    """Return ASE's name of the format."""
    with _naming(path):
        name = filetype(path)
        if not get_ioformat(name).can_read:
            raise _UnreadableError(f"cannot read {path!r}: ASE cannot read files of format {name!r}")
    return "db" if name == "json" else name
