"""Features in PyTorch, as a differentiable function of positions and strain: for networks on top of them.

    forward            B(r, ε)
    backward           Σ g ∂B/∂r and Σ g ∂B/∂ε            `pullback`
    double backward    of these along (w, η), by g: Ḃ      `jvp`
                       the same by r and ε                 differences of `pullback`, where they are asked for

So a network E(B) has forces by one backward pass, and its parameters are trained on energies, forces and stresses. The
kernels compute on the CPU, in double precision. PyTorch is an optional dependency.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from ase import Atoms

from acepure.features.basis import ACEBasis, check_basis
from acepure.features.derivatives import pullback
from acepure.features.directional import jvp
from acepure.layers._torch import Tensor, torch
from acepure.neighbors.lists import NeighborList
from acepure.structures.gate import check_structure

__all__ = ["torch_descriptors"]

# Central differences of sixth order, and how far pairs move at most, in Å.
_STENCIL = ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60))
_STEP = 4e-3


def torch_descriptors(
    basis: ACEBasis,
    atoms: Atoms,
    positions: Tensor | None = None,
    strain: Tensor | None = None,
    *,
    num_threads: int | None = None,
) -> Tensor:
    """Return the features of every atom as a tensor that can be differentiated twice.

    Parameters
    ----------
    basis : ACEBasis
    atoms : ase.Atoms
        Species, cell and periodic axes; and positions, if none are given.
    positions : torch.Tensor, shape (n_atoms, 3), optional
        Å. With ``requires_grad`` forces are minus the gradient of an energy.
    strain : torch.Tensor, shape (3, 3), optional
        ε: positions and cell are r ↦ (1 + ε) r. The stress is the gradient of an energy by it, at ε = 0, by the volume.
    num_threads : int, optional

    Returns
    -------
    torch.Tensor, shape (n_atoms, n_features), for L > 0 with 2L + 1 behind
        In the precision of `positions`, and on the device where these are; computed on the CPU in double precision.
        Second derivatives by positions and strain are accurate to some 1e-8, all others to rounding. They cost six
        backward passes: where parameters alone are trained, ask for no others, as
        ``loss.backward(inputs=list(network.parameters()))`` does.

    Raises
    ------
    ImportError
        Without PyTorch.
    TypeError, ValueError
        For a structure that does not belong to the basis, for tensors of another shape, and for a strain that leaves no
        volume.

    Examples
    --------
    Forces of a linear function, for those who have PyTorch:

        positions = torch.tensor(atoms.positions, requires_grad=True)
        energy = torch_descriptors(basis, atoms, positions).sum()
        forces = -torch.autograd.grad(energy, positions)[0]
    """
    check_basis(basis, tensors=True)
    check_structure(atoms)
    basis.species_indices(atoms)
    given = torch.as_tensor(atoms.positions.copy())
    if positions is not None:
        given = _checked("positions", positions, (len(atoms), 3))
    r, identity = given.to("cpu", torch.float64), torch.eye(3, dtype=torch.float64)
    F = identity
    if strain is not None:
        F = identity + _checked("strain", strain, (3, 3)).to("cpu", torch.float64)
        if not float(torch.linalg.det(F.detach()).abs()) > 0:
            raise ValueError(f"strain must be finite and leave a volume; got {strain!r}")
    fixed = F.detach()
    # E(r, ε) = E'(r', ε') at ε' = 0, with r' = (1 + ε₀) r and 1 + ε' = (1 + ε)(1 + ε₀)⁻¹; ε₀ is ε without its gradient.
    moved, rest = r @ fixed.T, F @ torch.linalg.inv(fixed) - identity
    structure = atoms.copy()
    structure.calc = None
    structure.set_cell(atoms.cell.array @ _array(fixed).T)
    structure.positions = _array(moved)
    return _features().apply(moved, rest, _Frame(basis, structure, num_threads)).to(given.device, given.dtype)


def _checked(name: str, tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
        raise TypeError(f"{name} must be a torch.Tensor of floats; got {tensor!r}")
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name} must have shape {shape}; got {tuple(tensor.shape)}")
    return tensor


def _array(tensor: Tensor) -> np.ndarray:
    return np.array(tensor.detach().cpu().numpy(), dtype=float)


@dataclass(frozen=True, eq=False)
class _Frame:
    """A structure, and derivatives of its features at no further strain."""

    basis: ACEBasis
    atoms: Atoms
    num_threads: int | None

    @cached_property
    def neighbors(self) -> NeighborList:
        return self.basis.neighbor_list(self.atoms, num_threads=self.num_threads)

    @cached_property
    def _given(self) -> dict[str, Any]:
        return {"neighbors": self.neighbors, "num_threads": self.num_threads}

    def features(self) -> np.ndarray:
        return self.basis.descriptors(self.atoms, **self._given)

    def pullback(self, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return pullback(self.basis, self.atoms, g, **self._given)

    def pushforward(self, w: np.ndarray, epsilon: np.ndarray) -> np.ndarray:
        return jvp(self.basis, self.atoms, w, epsilon, **self._given)[1]

    def second(self, g: np.ndarray, w: np.ndarray, epsilon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """d/dt of Σ g ∂B by positions and strain, along r ↦ r + t w and ε ↦ t ε."""
        total = np.zeros_like(w), np.zeros((3, 3))
        speed = abs(w).max() + abs(epsilon).max() * self.basis.rcut
        if speed > 0:
            h = _STEP / speed
            for k, weight in _STENCIL:
                for sign in (1, -1):
                    found = self._strained(g, sign * k * h * w, sign * k * h * epsilon)
                    for part, value in zip(total, found):
                        part += sign * weight / h * value
        return total

    def _strained(self, g: np.ndarray, w: np.ndarray, epsilon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Σ g ∂B by positions and strain at r + w and strain ε, of which (1 + ε) r and the cell make the structure."""
        F, atoms = np.eye(3) + epsilon, self.atoms.copy()
        atoms.set_cell(atoms.cell.array @ F.T)
        atoms.positions = (self.atoms.positions + w) @ F.T
        positions, strain = pullback(self.basis, atoms, g, num_threads=self.num_threads)
        return positions @ F, strain @ np.linalg.inv(F).T


@cache
def _features() -> Any:
    """The autograd function, which exists where PyTorch does."""

    class Features(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, positions: Tensor, strain: Tensor, frame: _Frame) -> Tensor:
            ctx.frame = frame
            ctx.save_for_backward(positions, strain)
            return torch.as_tensor(frame.features(), dtype=positions.dtype)

        @staticmethod
        def backward(ctx: Any, cotangents: Tensor) -> tuple[Tensor, Tensor, None]:
            # Two terms, the second of them zero, so that either derivative is computed where it is asked for.
            by_positions, by_strain = Pullback.apply(cotangents, ctx.frame)
            zero = Curvature.apply(cotangents.detach(), *ctx.saved_tensors, ctx.frame)
            return by_positions + zero[0], by_strain + zero[1], None

    class Pullback(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, cotangents: Tensor, frame: _Frame) -> tuple[Tensor, ...]:
            ctx.frame, ctx.dtype = frame, cotangents.dtype
            return tuple(torch.as_tensor(part, dtype=ctx.dtype) for part in frame.pullback(_array(cotangents)))

        @staticmethod
        @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
        def backward(ctx: Any, along: Tensor, strain: Tensor) -> tuple[Tensor, None]:
            return torch.as_tensor(ctx.frame.pushforward(_array(along), _array(strain)), dtype=ctx.dtype), None

    class Curvature(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(
            ctx: Any, cotangents: Tensor, positions: Tensor, strain: Tensor, frame: _Frame
        ) -> tuple[Tensor, Tensor]:
            ctx.frame = frame
            ctx.save_for_backward(cotangents)
            return torch.zeros_like(positions), torch.zeros_like(strain)

        @staticmethod
        @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
        def backward(ctx: Any, along: Tensor, strain: Tensor) -> tuple[Tensor | None, ...]:
            (cotangents,) = ctx.saved_tensors
            found = ctx.frame.second(_array(cotangents), _array(along), _array(strain))
            return None, *(torch.as_tensor(part, dtype=along.dtype) for part in found), None

    return Features
