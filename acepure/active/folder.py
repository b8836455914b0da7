"""The folder of a run: every file is complete or not there, so that a run goes on after it was killed at any moment.

settings.json            what was asked for; another run is refused
E0s.json                 energies of isolated atoms
predictions/0008.json    what was explored, and what the potential predicts, written before the reference is called
pending/0008.extxyz      waits for its labels
labels/0008.extxyz       labeled structures: these and the log decide how the run goes on
failed/0009.extxyz       frames whose reference calculation failed
trajectories/0008.extxyz frames that were checked
fits/0008.json           errors on test structures of the fit to the labels before number 8
log.jsonl                one line for each number: predicted deviations, true errors
model.ace                the latest potential
lock                     held by the process that works in the folder
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import ase.io
from ase import Atoms

from acepure._utils.files import atomic_write

_PARTS = ("predictions", "pending", "labels", "failed", "trajectories", "fits")


class Folder:
    """Files of a run, by the numbers of structures.

    Parameters
    ----------
    path : str or os.PathLike
        Made when it is first written to.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"folder must be a str or os.PathLike; got {path!r} of type {type(path).__name__}")
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise NotADirectoryError(f"folder {os.fspath(path)!r} is a file")

    # --- one process at a time ---------------------------------------------------------------------------

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out; the system ends it with the process, however that ends.

        Raises
        ------
        BlockingIOError
            If another process works in the folder.
        """
        for part in _PARTS:
            (self.path / part).mkdir(parents=True, exist_ok=True)
        with open(self.path / "lock", "a+", encoding="utf-8") as file:
            try:
                _lock(file)
            except OSError:
                file.seek(0)
                raise BlockingIOError(
                    f"another process works in {os.fspath(self.path)!r}: {file.read().strip()}"
                ) from None
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
            self._remove_unfinished()
            yield

    def _remove_unfinished(self) -> None:
        """Remove what a process that was killed had begun to write: no name of ours begins with a dot."""
        for part in ("", *_PARTS):
            for path in (self.path / part).glob(".*-*"):
                path.unlink()

    # --- what was asked for ------------------------------------------------------------------------------

    def keep_settings(self, settings: dict[str, Any]) -> None:
        """Write what was asked for, or compare it with what is there.

        Raises
        ------
        ValueError
            If the folder holds another run.
        """
        held, given = self.read_json("settings.json"), json.loads(json.dumps(settings))
        if held is None:
            self.write_json("settings.json", settings)
            return
        changed = sorted(name for name in {*held, *given} if held.get(name) != given.get(name))
        if changed:
            others = ", ".join(changed)
            raise ValueError(
                f"folder {os.fspath(self.path)!r} holds another run, of other {others}; take another folder"
            )

    def read_json(self, name: str) -> Any:
        """Return what a file holds; None without it."""
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"{os.fspath(self.path / name)!r} is damaged: {error}") from None

    def write_json(self, name: str, value: Any) -> None:
        """Write JSON types."""
        with atomic_write(self.path / name) as written:
            written.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")

    # --- structures --------------------------------------------------------------------------------------

    def has(self, part: str, number: int) -> bool:
        """Whether there is a structure of this number."""
        return self._structure(part, number).exists()

    def numbers(self, part: str) -> list[int]:
        """Return the numbers of structures in order."""
        return sorted(int(path.stem) for path in (self.path / part).glob("*.extxyz") if path.stem.isdigit())

    def read(self, part: str, number: int) -> Atoms:
        """Return a structure; its labels are the results of its calculator."""
        try:
            atoms = ase.io.read(self._structure(part, number), format="extxyz")
        except FileNotFoundError:
            raise
        except (KeyError, ValueError, OSError) as error:  # what readers of ASE raise
            raise ValueError(f"{os.fspath(self._structure(part, number))!r} is damaged: {error}") from None
        assert isinstance(atoms, Atoms)  # one structure
        return atoms

    def write(self, part: str, number: int, atoms: Atoms | Sequence[Atoms]) -> None:
        """Write a structure with the results of its calculator, or several."""
        with atomic_write(self._structure(part, number)) as written:
            ase.io.write(written, atoms, format="extxyz")

    def remove(self, part: str, number: int) -> None:
        """Remove a structure, if there is one."""
        self._structure(part, number).unlink(missing_ok=True)

    def location(self, part: str, number: int) -> str:
        """Return the name of a file of structures."""
        return os.fspath(self._structure(part, number))

    def _structure(self, part: str, number: int) -> Path:
        return self.path / part / f"{number:04d}.extxyz"

    # --- log ---------------------------------------------------------------------------------------------

    def log(self) -> list[dict[str, Any]]:
        """Return the lines of the log, one for each number."""
        try:
            text = (self.path / "log.jsonl").read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines()]

    def append(self, line: dict[str, Any]) -> None:
        """Write the log with a further line."""
        lines = [*self.log(), line]
        with atomic_write(self.path / "log.jsonl") as written:
            written.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        # A byte far beyond the text, which others may read.
        file.seek(1 << 20)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
