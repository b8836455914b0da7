"""Potentials for other programs.

write_yace, read_yace    files of LAMMPS ML-PACE
write_core_table         repulsive cores for pair_style table

basis, coefficients → products of complex sums → radial functions of the file → terms → text → read back, compared

complex_harmonics.py  Y_lm of the format
complex_products.py   products of real sums in products of complex ones
radial_families.py    functions of a distance that the format knows by name
bonds.py              radial functions of a pair of species
embeddings.py         F of several densities of the format, and how cores end it
evaluator.py          what a file holds; its energies and forces, by the description of the format
compiled.py, yace_potential.py   the same by the kernels
radial_tables.py      the radial functions of a basis in those of the format
conversion.py         basis and coefficients → what a file holds
yace_text.py          ... → text
yaml_tree.py, yace_reader.py   text → ...
release_check.py      whether file and model agree
core_table.py         tables of repulsive cores
yace_writer.py        all of it
"""

from acepure.interfaces.yace.core_table import write_core_table
from acepure.interfaces.yace.yace_potential import YacePotential
from acepure.interfaces.yace.yace_reader import read_yace
from acepure.interfaces.yace.yace_writer import YaceReport, write_yace
from acepure.interfaces.yace.yaml_tree import YaceError

__all__ = ["YaceError", "YacePotential", "YaceReport", "read_yace", "write_core_table", "write_yace"]
