"""Forces on ghosts go back to the ranks that own the atoms; sums are always taken in one order.

    ghosts of a rank → one sum per atom → owner → added to the atom

Who owns an atom is asked of a directory spread over the ranks: rank (tag mod n_ranks) knows the owner of a tag.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array


class GhostForces:
    """The way of forces on ghosts to the atoms they are copies of; for one set of atoms and ghosts.

    To be made by all ranks at once.

    Parameters
    ----------
    tags : numpy.ndarray of int, shape (n,)
        Of own atoms, then of ghosts; a tag names the same atom on all ranks.
    n_own : int
    comm : mpi4py communicator, optional
        None for one rank.

    Raises
    ------
    ValueError
        On all ranks, if one has a ghost of an atom that no rank owns.

    Examples
    --------
    >>> import numpy as np
    >>> ways = GhostForces(np.array([5, 3, 3, 5, 3]), 2)
    >>> ways.collected(np.array([[1.0, 0, 0], [2, 0, 0], [10, 0, 0], [20, 0, 0], [30, 0, 0]]))[:, 0].tolist()
    [21.0, 42.0]
    """

    def __init__(self, tags: np.ndarray, n_own: int, comm: Any = None) -> None:
        self._comm, self._n_own = comm, n_own
        size = 1 if comm is None else comm.Get_size()
        own, ghosts = tags[:n_own].astype(np.int64), tags[n_own:].astype(np.int64)
        atoms, copies = np.unique(ghosts, return_inverse=True)
        owners = _owners(own, atoms, comm)
        order = np.argsort(owners, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        self._sums = _adding(place[copies], len(atoms))
        self._sent = np.bincount(owners, minlength=size)
        wanted, self._received = _exchanged(comm, atoms[order], self._sent)
        self._to_own = _adding(_find(own, wanted), n_own)

    def collected(self, forces: np.ndarray) -> np.ndarray:
        """Return the forces on own atoms, shape (n_own, 3), those on their ghosts on all ranks included.

        Parameters
        ----------
        forces : numpy.ndarray, shape (n, 3)
            On own atoms, then on ghosts.
        """
        sums = self._sums @ forces[self._n_own :]
        back, _ = _exchanged(self._comm, sums, self._sent, self._received)
        return forces[: self._n_own] + self._to_own @ back


def _owners(own: np.ndarray, atoms: np.ndarray, comm: Any) -> np.ndarray:
    """The rank that owns each of the atoms, by tag."""
    size = 1 if comm is None else comm.Get_size()
    known, per_rank = _exchanged(comm, *_by_rank(own, own % size, size))
    ranks = np.repeat(np.arange(size), per_rank)
    home = atoms % size
    asked, n_asked = _exchanged(comm, *_by_rank(atoms, home, size))
    where = _find(known, asked)
    answers = np.where(where < 0, -1, ranks[where] if len(ranks) else -1)
    answers, _ = _exchanged(comm, answers, n_asked)
    owners = np.empty_like(atoms)
    owners[np.argsort(home, kind="stable")] = answers
    lost = atoms[owners < 0].tolist()
    lost = lost if comm is None else [tag for tags in comm.allgather(lost) for tag in tags]
    if lost:
        raise ValueError(f"there are ghosts of atom {lost[0]}, but no rank has this atom: LAMMPS has lost it")
    return owners


def _by_rank(values: np.ndarray, ranks: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Values in the order of their ranks, and how many each rank gets."""
    return values[np.argsort(ranks, kind="stable")], np.bincount(ranks, minlength=size)


def _exchanged(
    comm: Any, rows: np.ndarray, sent: np.ndarray, received: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Send rows to the ranks, `sent[k]` of them to rank k; return those that came, and how many from each rank."""
    if comm is None:
        return rows, sent
    if received is None:
        received = np.empty_like(sent)
        comm.Alltoall(sent, received)
    width = rows.shape[1] if rows.ndim == 2 else 1
    back = np.empty((int(received.sum()), *rows.shape[1:]), dtype=rows.dtype)
    comm.Alltoallv([rows, width * sent], [back, width * received])
    return back, received


def _find(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The place of each wanted value among the values; -1 where there is none."""
    if not len(values):
        return np.full(len(wanted), -1)
    order = np.argsort(values, kind="stable")
    places = order[np.minimum(np.searchsorted(values, wanted, sorter=order), len(values) - 1)]
    return np.where(values[places] == wanted, places, -1)


def _adding(targets: np.ndarray, n_targets: int) -> csr_array:
    """The matrix that adds row k to row targets[k] of n_targets."""
    k = np.arange(len(targets))
    return csr_array((np.ones(len(k)), (targets, k)), shape=(n_targets, len(k)))
