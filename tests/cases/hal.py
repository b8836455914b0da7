"""Small runs of hyperactive learning: cells of four atoms, effective medium theory, trajectories of 30 steps."""

from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT

from acepure import ACEBasis
from acepure.active import HAL

BASIS = {"species": ["Cu", "Ag"], "order": 2, "totaldegree": 2, "rcut": 4.2}
DYNAMICS = {"temperature": 2500, "steps": 30, "check_every": 5, "least_steps": 5, "tolerance": 0.05, "timestep": 3.0}


class Emt(Calculator):
    """Effective medium theory without memory: that of ASE holds a neighbor list, whose order is in the last bits."""

    implemented_properties = ("energy", "forces", "stress")

    def calculate(self, atoms=None, properties=(), changes=()):
        super().calculate(atoms, properties, changes)
        fresh = EMT()
        wanted = self.implemented_properties if atoms.pbc.all() else ("energy", "forces")
        self.results = {name: fresh.get_property(name, atoms) for name in wanted}


def starts(n=3):
    result = []
    for seed in range(n):
        atoms = bulk("Cu", cubic=True, a=3.9)
        atoms.symbols = ["Cu", "Ag", "Cu", "Ag"]
        atoms.rattle(0.08, seed=seed)
        result.append(atoms)
    return result


def small_run(folder, calculator="emt", **changes):
    """A run that reaches its tolerance in some trajectories and not in others."""
    given = {"n_max": 6, "E0s": {"Cu": 3.5, "Ag": 3.0}, "fit": {"core": None}, **DYNAMICS, **changes}
    calculator = Emt() if calculator == "emt" else calculator
    return HAL(folder, ACEBasis(**BASIS), calculator, given.pop("starts", starts()), **given)
