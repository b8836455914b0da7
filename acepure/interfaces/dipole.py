"""DipoleCalculator: a model of the dipole as an ASE calculator, beside one of energies and forces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator, Calculator, PropertyNotImplementedError, all_changes

from acepure._utils.checks import check_kind, number
from acepure.features.verlet import VerletList
from acepure.models.tensor import TensorModel

__all__ = ["DipoleCalculator"]

#: What a unit of a model is in e Å, the unit of ASE.
UNITS = {"": 1.0, "e Å": 1.0, "eÅ": 1.0, "Debye": units.Debye, "D": units.Debye, "a.u.": units.Bohr}


class DipoleCalculator(Calculator):
    """Dipoles of molecules for ASE, `atoms.get_dipole_moment()` in e Å; all else by another calculator.

    One neighbor list serves many steps, and nothing is computed twice for the same positions and species.

    Parameters
    ----------
    model : TensorModel
        Of a vector per structure. Its unit must be "e Å" (or empty, which is taken as e Å), "Debye" or "a.u.".
    others : ase calculator, optional
        What energies, forces and the like are asked of, such as `LinearACE.calculator()`.
    skin : float
        Å; how much farther than the cutoff the list reaches.
    num_threads : int, optional

    Raises
    ------
    TypeError, ValueError
        For what is no such model, and for units that are not known.

    Notes
    -----
    The dipole of a periodic structure is defined up to a quantum alone, and that of a charged one (`info["charge"]`)
    about an origin: both are refused, the latter unless the model was fitted with one, which holds for the result.

    Examples
    --------
    >>> import numpy as np
    >>> from ase.build import molecule
    >>> from ase.calculators.emt import EMT
    >>> from acepure import ACEBasis, TensorModel
    >>> basis = ACEBasis(["H", "O"], order=2, totaldegree=3, L=1)
    >>> atoms = molecule("H2O")
    >>> atoms.calc = DipoleCalculator(TensorModel([basis], [np.ones((2, len(basis)))], "vector"), EMT())
    >>> atoms.get_dipole_moment().shape, atoms.get_forces().shape
    ((3,), (3, 3))
    """

    # ASE reads both from the class, but its hints call them attributes of the instance.
    implemented_properties: ClassVar[list[str]] = ["dipole"]  # type: ignore[misc]
    ignored_changes: ClassVar[set[str]] = {"initial_charges", "initial_magmoms"}  # type: ignore[misc]

    def __init__(
        self,
        model: TensorModel,
        others: BaseCalculator | None = None,
        *,
        skin: float = 1.0,
        num_threads: int | None = None,
    ) -> None:
        check_kind("model", model, TensorModel)
        if (model.rank, model.per) != ("vector", "structure"):
            raise ValueError(f"model must be that of a vector per structure; got {model.rank} per {model.per}")
        if model.unit not in UNITS:
            known = ", ".join(filter(None, UNITS))
            raise ValueError(f"the unit of the model must be one of {known}; got {model.unit!r}")
        if others is not None and not hasattr(others, "get_property"):
            raise TypeError(f"others must be an ASE calculator or None; got {others!r}")
        super().__init__()
        self.model, self.others = model, others
        mine = [*getattr(others, "implemented_properties", ()), "dipole"]
        self.implemented_properties = list(dict.fromkeys(mine))  # type: ignore[misc]
        self._skin, self._num_threads = number("skin", skin, least=0), num_threads
        self._verlet: VerletList | None = None

    def calculate(
        self, atoms: Atoms | None = None, properties: Sequence[str] = ("dipole",), system_changes: Any = all_changes
    ) -> None:
        """Compute properties; called by ASE when the structure has changed, or for what was not asked before.

        Raises
        ------
        PropertyNotImplementedError
            For dipoles of periodic structures, and of charged ones without an origin.
        """
        super().calculate(atoms, properties, system_changes)
        structure: Any = self.atoms  # the copy that ASE keeps
        if "dipole" in properties:
            self.results["dipole"] = self._dipole(structure)
        for name in properties:
            if name != "dipole":
                if self.others is None:
                    raise PropertyNotImplementedError(f"{name} needs another calculator, others=")
                self.results[name] = self.others.get_property(name, structure)

    def _dipole(self, atoms: Atoms) -> Any:
        if atoms.pbc.any():
            raise PropertyNotImplementedError(
                "the dipole of a periodic structure is defined up to a quantum alone; model.predict and "
                "model.derivatives give what is: its changes"
            )
        if atoms.info.get("charge", 0) and self.model.origin is None:
            raise PropertyNotImplementedError(
                "the dipole of a charged structure depends on the origin, and the model was fitted without one"
            )
        if self._verlet is None:
            self._verlet = VerletList(self.model.bases[0], self._skin, self._num_threads)
        neighbors = self._verlet.update(atoms)
        found = self.model.predict(atoms, neighbors=neighbors, num_threads=self._num_threads)
        return UNITS[self.model.unit] * found.total
