"""An ASE calculator of .yace files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

if TYPE_CHECKING:
    from acepure.interfaces.yace.evaluator import YacePotential

__all__ = ["YaceCalculator"]


class YaceCalculator(Calculator):
    """Energies, forces and stress of a file, made by `YacePotential.calculator`.

    Parameters
    ----------
    potential : YacePotential
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]  # noqa: RUF012 (as in ASE)

    def __init__(self, potential: YacePotential) -> None:
        super().__init__()
        self.potential = potential

    def calculate(
        self, atoms: Atoms | None = None, properties: Sequence[str] = ("energy",), system_changes: Any = all_changes
    ) -> None:
        """Compute all properties; called by ASE when the structure has changed.

        Raises
        ------
        PropertyNotImplementedError
            For the stress of what is not periodic along all three axes.
        """
        super().calculate(atoms, properties, system_changes)
        if self.atoms is None:
            raise ValueError("the calculator has no atoms yet; set atoms.calc to it, or give atoms")
        periodic = self.atoms.pbc.all()
        if "stress" in properties and not periodic:
            raise PropertyNotImplementedError(f"stress needs three periodic axes; pbc is {self.atoms.pbc.tolist()}")
        found = self.potential.evaluate(self.atoms)
        self.results = {
            "energy": found.energy,
            "free_energy": found.energy,
            "energies": found.energies,
            "forces": found.forces,
        }
        if periodic:
            self.results["stress"] = full_3x3_to_voigt_6_stress(-found.virial / self.atoms.get_volume())
