"""Files that are either complete or not there.

atomic_write(path)      write to a temporary name in the same folder, then rename
check_writable(path)    raise if that cannot be done
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Most systems take names of 255 bytes; a character has up to 4.
_LONGEST_ENDING = 48
# No space, beyond a quota, larger than allowed.
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`, and rename it to `path` at the end of the block.

    Readers see the old file or the new one, never a part. If the block raises, the temporary file is removed and `path`
    stays as it was.

    Parameters
    ----------
    path : str or os.PathLike
        Where the file shall be. An existing file is replaced and passes its permissions on; a symbolic link stays,
        and the file that it points to is replaced.

    Yields
    ------
    pathlib.Path
        An empty file with the same ending as `path`, for writers that choose the format by it.

    Raises
    ------
    TypeError
        If `path` is no path.
    OSError
        If the folder does not exist or cannot be written to, or if `path` is a folder or a device.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_write(Path(folder, "energies.txt")) as temporary:
    ...         _ = temporary.write_text("-3.54")
    ...     Path(folder, "energies.txt").read_text()
    '-3.54'
    """
    target, temporary = _begun(path)
    try:
        yield temporary
        if target.exists():
            temporary.chmod(target.stat().st_mode & 0o777)
        _flush(temporary)
        os.replace(temporary, target)
    except OSError as error:
        if error.errno in _FULL and error.filename is None:
            error.filename = os.fspath(path)  # the system does not say which file
        raise
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise as `atomic_write` would, for programs that work for long before they write; `path` stays as it is.

    Raises
    ------
    TypeError, OSError
        As `atomic_write`.

    Examples
    --------
    >>> check_writable("none/energies.txt")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    FileNotFoundError: cannot write 'none/energies.txt': the folder '...none' does not exist
    """
    _begun(path)[1].unlink()


def _begun(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Return where the file shall be, and an empty temporary file in the same folder."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a str or os.PathLike; got {path!r} of type {type(path).__name__}")
    # Renaming onto a link would replace the link.
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"cannot write {os.fspath(path)!r}: it is a folder; the name of a file is needed")
    if target.exists() and not target.is_file():
        raise OSError(f"cannot write {os.fspath(path)!r}: it is no ordinary file")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {os.fspath(path)!r}: the folder {str(target.parent)!r} does not exist")
    temporary = target.with_name(f".{secrets.token_hex(4)}-{target.name[-_LONGEST_ENDING:]}")
    try:
        # Created like any other file, so that the umask decides the permissions; made now, so that a folder
        # without write permission is noticed before the work and not after it.
        temporary.open("xb").close()
    except PermissionError as error:
        raise PermissionError(
            f"cannot write {os.fspath(path)!r}: no permission to write in {str(target.parent)!r}"
        ) from error
    return target, temporary


def _flush(path: Path) -> None:
    """Bring the contents to disk: a crash after the rename must not leave an empty file under the final name."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
