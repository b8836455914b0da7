"""What users read when a call is wrong: the type of the error and the whole message."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from acepure import (
    ACEBasis,
    IdealGas,
    LinearACE,
    LinearFunction,
    MeanCovariance,
    RadialDensity,
    VerletList,
    descriptors,
    pair_jacobian,
    pullback,
    summed_gradients,
)
from acepure._utils.tall_qr import RFactor, singular_values
from acepure.cli import main
from acepure.errors import BasisTooLargeError, CoincidentAtomsError, ModelFileError, SpeciesError
from acepure.functions import Measure, PolynomialRadialBasis
from acepure.functions.whitened import WhitenedRadialBasis
from acepure.interfaces.yace import YaceError, read_yace, write_core_table
from acepure.models.files import ModelSchema, write_model
from acepure.models.repulsion import ZBLCore
from acepure.neighbors.lists import neighbor_list
from acepure.plotting import figure_format, figure_formats

NO_MODEL = "'text.ace' is no model file of acepure, or is damaged or cut short"
CU = bulk("Cu", cubic=True)
B = ACEBasis(["Cu"], order=2, totaldegree=3)
W = np.ones(len(B))
SCHEMA = ModelSchema("test", ("a",), {"b": np.float64})
M = LinearACE(B, W)
L = B.neighbor_list(CU)

# Messages of several calls.
EMPTY = "structures is empty; at least one ase.Atoms is needed"
NO_LIST = "structures must be an ase.Atoms or an iterable of them, got int"
NO_ZR = (
    "the structures of the reference hold no neighbor Zr of Zr within 5 Å; use structures that do, or background > 0"
)
SHORT = "rcut of the reference is 3 Å, but the radial functions reach 5 Å"
NO_POSTERIOR = "the model has no posterior; fit it with uncertainty=True"
SAME_PLACE = "atom 0 (Cu) and atom 1 (Cu) are at the same place (nearer than 1e-6 Å); remove one of them"


def changed(**arrays):
    return replace(L, **arrays)


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text.ace").write_text("Cu")
    Path("bad.yace").write_text("a: &x 1")
    Path("wide.xyz").write_text("1\nProperties=species:S:2147483648\nCu 0 0 0\n")
    Path("bad.xyz").write_text("2\n\nCu 0 0 0\n")


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: descriptors(5), TypeError, "atoms must be an ase.Atoms or an iterable of them, got int"),
        (lambda: descriptors("Cu.xyz"), TypeError, "atoms must be an ase.Atoms or an iterable of them, got str"),
        (lambda: descriptors([CU, None]), TypeError, "atoms[1] must be an ase.Atoms, got NoneType"),
        (lambda: descriptors(CU, rcut=-1), ValueError, "rcut must be a finite number > 0; got -1"),
        (lambda: descriptors(CU, rcut="5"), TypeError, "rcut must be a finite number > 0; got '5' of type str"),
        (
            lambda: descriptors(CU, ordr=3),
            TypeError,
            "descriptors() got an unknown argument 'ordr'; did you mean order?",
        ),
        (lambda: descriptors(CU, order=0), ValueError, "order must be an integer >= 1; got 0"),
        (lambda: descriptors(CU, indices=[9]), IndexError, "indices contains 9, out of range for 4 atoms"),
        (
            lambda: descriptors(CU, indices=[0.5]),
            TypeError,
            "indices must be integers, a slice or a mask, got dtype float64",
        ),
        (
            lambda: descriptors(CU, species="Cu"),
            TypeError,
            "species must be a sequence of chemical symbols such as ['Cu'], got the string 'Cu'",
        ),
        (lambda: descriptors(CU, num_threads=0), ValueError, "num_threads must be an integer >= 1; got 0"),
        (lambda: descriptors(CU, canonical="yes"), TypeError, "canonical must be True or False; got 'yes'"),
        (lambda: descriptors(CU, n_max=3), ValueError, "a box needs both n_max and l_max; got n_max=3, l_max=None"),
        (lambda: ACEBasis([]), ValueError, "species is empty; at least one chemical symbol is needed"),
        (lambda: ACEBasis(["Cu", "Cu"]), ValueError, "species holds a symbol twice: ['Cu', 'Cu']"),
        (lambda: ACEBasis(["Cu"], totaldegree=-1), ValueError, "totaldegree must be a finite number >= 0; got -1"),
        (
            lambda: ACEBasis(["Cu"], totaldegree="6"),
            TypeError,
            "totaldegree must be a finite number >= 0; got '6' of type str",
        ),
        (
            lambda: ACEBasis(["Cu"], totaldegree=float("nan")),
            ValueError,
            "totaldegree must be a finite number >= 0; got nan",
        ),
        (
            lambda: ACEBasis(["Cu"], order=33),
            BasisTooLargeError,
            "order must be at most 32; got 33; lower the order or the degree",
        ),
        (
            lambda: ACEBasis(["Cu"], order=2, totaldegree=300),
            BasisTooLargeError,
            "l must be at most 128; got 150.0; lower the order or the degree",
        ),
        (
            lambda: ACEBasis(["Cu"], functions=[[(0, 1)]]),
            ValueError,
            "functions: [(0, 1)] has no invariant coupling under rotations and reflections",
        ),
        (
            lambda: ACEBasis(["Cu"], functions=5),
            TypeError,
            "functions must be a sequence of functions, each a sequence of factors; got 5",
        ),
        (lambda: ACEBasis(["Cu"], radial=5), TypeError, "radial must be a RadialBasis or None; got 5 of type int"),
        (
            lambda: ACEBasis(["Cu"], rcut={"Cu": 5.0}),
            TypeError,
            'the keys of rcut must be pairs of chemical symbols such as ("Cu", "Zr"); got \'Cu\'',
        ),
        (
            lambda: ACEBasis(["Cu", "Zr"], rcut={("Cu", "Cu"): 5.0}),
            ValueError,
            "rcut has no value for the pair Cu-Zr; it has Cu-Cu",
        ),
        (
            lambda: ACEBasis.from_dict({"species": ["Cu"]}),
            ValueError,
            (
                "dictionary lacks canonical and n_start and order and radial and reference; it must come from "
                "ACEBasis.to_dict"
            ),
        ),
        (lambda: ACEBasis.from_dict(5), TypeError, "dictionary must come from ACEBasis.to_dict; got 5"),
        (
            lambda: B.descriptors(Atoms("Zr")),
            SpeciesError,
            "atoms holds Zr, but the basis is for Cu; a basis is made for all its species at once, and a "
            "potential knows those it was fitted to",
        ),
        (lambda: B.descriptors(CU, neighbors=5), TypeError, "neighbors must be a NeighborList, got 5 of type int"),
        (
            lambda: B.descriptors(CU, neighbors=changed(n_atoms=3)),
            ValueError,
            "neighbors belongs to a structure of 3 atoms, but atoms has 4",
        ),
        (
            lambda: B.descriptors(CU, neighbors=changed(neighbors=L.neighbors + 9)),
            ValueError,
            "neighbors.neighbors must hold atoms 0 to 3; got 9 to 12",
        ),
        (
            lambda: B.descriptors(CU, neighbors=changed(offsets=L.offsets[::-1].copy())),
            ValueError,
            "neighbors.offsets must rise from 0 to the number of pairs, 168",
        ),
        (
            lambda: B.descriptors(CU, neighbors=changed(vectors=L.vectors * np.nan)),
            ValueError,
            "neighbors.vectors must be finite and at least 1e-06 Å long",
        ),
        (
            lambda: B.descriptors(CU, neighbors=changed(vectors=L.vectors.astype("f4"))),
            ValueError,
            (
                "neighbors.vectors must be a C-contiguous array of float64 of shape (168, 3); got float32 o"
                "f shape (168, 3)"
            ),
        ),
        (lambda: B.centered(5), TypeError, "reference must be a Reference; got 5 of type int"),
        (lambda: B.centered(IdealGas(-1)), ValueError, "density must be a finite number > 0; got -1"),
        (lambda: B.centered(RadialDensity.from_structures([CU], 3.0)), ValueError, SHORT),
        (lambda: ACEBasis(["Zr"]).centered(RadialDensity.from_structures([CU], 5.0)), ValueError, NO_ZR),
        (
            lambda: ACEBasis(["Zr"], order=2, totaldegree=3).centered(
                RadialDensity.from_structures([CU], 5.0), orthonormal=False
            ),
            ValueError,
            NO_ZR,
        ),
        (lambda: B.centered(RadialDensity.from_structures([CU], 3.0), orthonormal=False), ValueError, SHORT),
        (lambda: IdealGas("dense"), TypeError, "density must be a finite number > 0; got 'dense' of type str"),
        (
            lambda: IdealGas.from_atoms(Atoms("Cu")),
            ValueError,
            "atoms must be a structure periodic along all three axes to have a density",
        ),
        (lambda: RadialDensity.from_structures([CU], rcut=0), ValueError, "rcut must be a finite number > 0; got 0"),
        (lambda: RadialDensity.from_structures(5), TypeError, NO_LIST),
        (lambda: RadialDensity.from_structures([]), ValueError, EMPTY),
        (lambda: RadialDensity.from_structures([CU, 5]), TypeError, "structures[1] must be an ase.Atoms, got int"),
        (lambda: MeanCovariance.from_structures(5, B), TypeError, NO_LIST),
        (lambda: MeanCovariance.from_structures([], B), ValueError, EMPTY),
        (
            lambda: L.with_vectors(L.vectors[:9]),
            ValueError,
            "vectors must be a C-contiguous array of float64 of shape (168, 3); got float64 of shape (9, 3)",
        ),
        (
            lambda: figure_format("output", "a.docx.jpe"),
            ValueError,
            f"output a.docx.jpe: the name must end in one of .{', .'.join(figure_formats())}",
        ),
        (
            lambda: RadialDensity({("Cu", "Cu"): 3}, 5.0),
            TypeError,
            "measures['Cu', 'Cu'] must be a Measure(nodes, weights); got 3",
        ),
        (
            lambda: RadialDensity({("Cu", "Cu"): Measure([1.0], [1.0])}, 5.0, background=1),
            ValueError,
            "background must be a share, 0 <= background < 1; got 1",
        ),
        (lambda: Measure([1.0, 2.0], [1.0]), ValueError, "nodes and weights must be of one length; got 2 and 1"),
        (lambda: Measure([-1.0], [1.0]), ValueError, "nodes must be >= 0; number 0 is -1"),
        (lambda: LinearFunction(B, W[:-1]), ValueError, "coefficients must have shape (1, 12); got (1, 11)"),
        (
            lambda: LinearFunction(B, ["a"] * len(B)),
            TypeError,
            "coefficients must hold real numbers; got an array of type <U1",
        ),
        (
            lambda: LinearFunction(B, np.full(len(B), np.nan)),
            ValueError,
            "coefficients must be finite; row 0 is [nan nan nan nan nan nan nan nan nan nan nan nan]",
        ),
        (
            lambda: LinearFunction(B, np.ma.masked_array(W, W > 0)),
            ValueError,
            "coefficients must have no masked entries; got 12; use .filled or .compressed",
        ),
        (lambda: LinearFunction(5, W), TypeError, "basis must be an ACEBasis; got 5 of type int"),
        (
            lambda: LinearFunction(B, np.broadcast_to(1.0, (2**40, 2))),
            ValueError,
            "coefficients must have shape (1, 12); got (1099511627776, 2)",
        ),
        (
            lambda: pair_jacobian(B, CU, max_bytes=10),
            ValueError,
            (
                "the Jacobian of shape (168, 3, 12) needs 4.51e-05 GiB, more than the limit of 9.31e-09 GiB"
                "; select centers with indices, use summed_gradients, or raise max_bytes"
            ),
        ),
        (
            lambda: pair_jacobian(B, CU, indices=[0], neighbors=L),
            ValueError,
            "indices and neighbors exclude each other: the list has its centers",
        ),
        (
            lambda: pair_jacobian(B, CU, max_bytes="1"),
            TypeError,
            "max_bytes must be a finite number >= 0; got '1' of type str",
        ),
        (lambda: pullback(B, CU, W), ValueError, "cotangents must have shape (4, 12); got (12,)"),
        (lambda: summed_gradients(5, CU), TypeError, "basis must be an ACEBasis; got 5 of type int"),
        (lambda: LinearACE(B, W, {"Zr": 1.0}), ValueError, "E0s lacks Cu; the basis is for Cu"),
        (lambda: LinearACE(B, W, {"Cu": "low"}), TypeError, "E0s['Cu'] must be a finite number; got 'low' of type str"),
        (lambda: LinearACE(B, W, core=5), TypeError, "core must be a PairCore or None; got 5 of type int"),
        (
            lambda: LinearACE(B, W, core=ZBLCore(1.0, 9.0)),
            ValueError,
            (
                "the core reaches 9 Å for the pair Cu-Cu, but the cutoff of the basis is 5 Å; shorten the c"
                "ore or lengthen the cutoff"
            ),
        ),
        (
            lambda: LinearACE(B, W, posterior=np.ones((2, 2))),
            ValueError,
            "posterior must have shape (1, 12, any); got (2, 2)",
        ),
        (
            lambda: LinearACE(B, W, shortest=5),
            TypeError,
            "shortest must be a mapping of pairs of chemical symbols to values; got 5",
        ),
        (
            lambda: LinearACE(B, W, shortest={"Cu": 2}),
            TypeError,
            'the keys of shortest must be pairs of chemical symbols such as ("Cu", "Zr"); got \'Cu\'',
        ),
        (
            lambda: LinearACE(B, W, shortest={("Cu", "Cu"): 0}),
            ValueError,
            "shortest['Cu', 'Cu'] must be a finite number > 0; got 0",
        ),
        (lambda: LinearACE(B, W, report=5), TypeError, "report must be a mapping or None; got 5"),
        (lambda: M.uncertainty(CU), ValueError, NO_POSTERIOR),
        (lambda: M.dimer("Cu", "Xx", [1.0]), ValueError, "neighbor must be a chemical symbol such as \"Cu\"; got 'Xx'"),
        (lambda: M.dimer("Cu", "Zr", [1.0]), SpeciesError, "neighbor 'Zr' is not one of the species ('Cu',)"),
        (lambda: M.dimer("Zr", "Cu", [1.0]), SpeciesError, "center 'Zr' is not one of the species ('Cu',)"),
        (lambda: M.dimer("Cu", "Cu", [-1.0]), ValueError, "r must hold distances >= 0; number 0 is -1"),
        (lambda: M.dimer("Cu", "Cu", [0.0]), CoincidentAtomsError, SAME_PLACE),
        (lambda: M.evaluate(5), TypeError, "atoms must be an ase.Atoms, got int"),
        (lambda: M.committee(2.5), TypeError, "n must be an integer >= 1; got 2.5 of type float"),
        (lambda: M.committee(2), ValueError, NO_POSTERIOR),
        (lambda: M.calculator(skin=-1), ValueError, "skin must be a finite number >= 0; got -1"),
        (lambda: M.save(5), TypeError, "path must be a str or os.PathLike; got 5 of type int"),
        (lambda: M.export_yace("a.yace", tolerance=0), ValueError, "tolerance must be a finite number > 0; got 0"),
        (
            lambda: M.export_yace("a.yace", family="Bessel"),
            ValueError,
            "family must be one of ChebPow, ACE.jl; got 'Bessel'",
        ),
        (
            lambda: M.export_yace("a.yace", step=1.0),
            ValueError,
            "step must be at most a tenth of the shortest cutoff, 5 Å; got 1.0",
        ),
        (
            lambda: M.export_yace("a.yace", core_table="b"),
            ValueError,
            "core_table='b' was given, but the potential has no core",
        ),
        (lambda: LinearACE.load("none.ace"), FileNotFoundError, "[Errno 2] No such file or directory: 'none.ace'"),
        (
            lambda: LinearACE.load("text.ace"),
            ModelFileError,
            "'text.ace' is no model file of acepure, or is damaged or cut short",
        ),
        (lambda: LinearACE.load("."), ModelFileError, "'.' is a folder or a device; a model file is needed"),
        (lambda: LinearACE.load(5), TypeError, "path must be a str or os.PathLike; got 5 of type int"),
        (lambda: read_yace("none.yace"), FileNotFoundError, "[Errno 2] No such file or directory: 'none.yace'"),
        (
            lambda: read_yace("bad.yace"),
            YaceError,
            "'bad.yace' holds an anchor or a tag line 1, which is not supported",
        ),
        (
            lambda: read_yace("text.ace"),
            YaceError,
            (
                "'text.ace' is no .yace file, or cut short: it lacks E0, bonds, deltaSplineBins, elements, "
                "embeddings, functions"
            ),
        ),
        (lambda: read_yace(5), TypeError, "path must be a str or os.PathLike; got 5 of type int"),
        (lambda: write_core_table("t", 5, ["Cu"]), TypeError, "core must be a PairCore; got 5"),
        (
            lambda: write_core_table("t", ZBLCore(0.7, 1.4), "Cu"),
            TypeError,
            "species must be a sequence of chemical symbols such as ['Cu']; got 'Cu'",
        ),
        (
            lambda: write_model("m", SCHEMA, {"a": (1, 2)}, {"b": W}),
            TypeError,
            "entries must consist of JSON types: they have tuples, keys that are no str, or the like",
        ),
        (
            lambda: write_model("m", SCHEMA, {"a": 1}, {"b c": W}),
            ValueError,
            "the content of a model file lacks the array 'b' that a test model needs",
        ),
        (
            lambda: write_model("m", SCHEMA, {"a": 1}, {"b": W * np.nan}),
            ValueError,
            "holds nan at (0,) in the array 'b'; finite numbers are needed",
        ),
        (lambda: ZBLCore(2, 1), ValueError, "outer must be > inner; got inner=2.0, outer=1.0"),
        (lambda: ZBLCore(-1, 1), ValueError, "inner must be a finite number >= 0; got -1"),
        (lambda: VerletList(B, skin=-1), ValueError, "skin must be a finite number >= 0; got -1"),
        (lambda: VerletList(5), TypeError, "basis must be an ACEBasis; got 5 of type int"),
        (lambda: neighbor_list(CU, 0), ValueError, "cutoff must be positive and finite (Å), got 0.0"),
        (lambda: neighbor_list(CU, [1, 2]), ValueError, "cutoff must be a number or a square matrix, got shape (2,)"),
        (
            lambda: neighbor_list(CU, 3.0, species=[0]),
            ValueError,
            "species must have shape (4,), one index per atom, got (1,)",
        ),
        (lambda: neighbor_list(CU, 3.0, num_threads=0), ValueError, "num_threads must be at least 1, got 0"),
        (
            lambda: neighbor_list(CU, 3.0, indices=slice(0, 1, 0)),
            ValueError,
            "indices=slice(0, 1, 0): slice step cannot be zero",
        ),
        (
            lambda: neighbor_list(Atoms("Cu", pbc=True), 3.0),
            ValueError,
            (
                "atoms is periodic along axis 0, but its cell vector there is [0.0, 0.0, 0.0] Å; set the ce"
                "ll, or pbc to False along that axis"
            ),
        ),
        (lambda: neighbor_list(Atoms("Cu2"), 3.0), CoincidentAtomsError, SAME_PLACE),
        (lambda: RFactor(2).add([[1.0]]), ValueError, "rows must have shape (any, 2); got (1, 1)"),
        (lambda: RFactor(2).merge(RFactor(3)), ValueError, "other has 3 columns, this factor has 2; equal are needed"),
        (lambda: RFactor(2).merge(5), TypeError, "other must be an RFactor; got 5 of type int"),
        (
            lambda: singular_values(np.ones((2, 3))),
            ValueError,
            "matrix must have at least as many rows as columns; got shape (2, 3)",
        ),
        (
            lambda: PolynomialRadialBasis(5.0).evaluate([-1.0], "Cu", "Cu", 2),
            ValueError,
            "r must hold distances >= 0; number 0 is -1",
        ),
        (
            lambda: PolynomialRadialBasis(5.0).evaluate([1.0], "Cu", "Cu", 0),
            ValueError,
            "n_radial must be an integer >= 1; got 0",
        ),
        (lambda: PolynomialRadialBasis(0), ValueError, "rcut must be a finite number > 0; got 0"),
        (
            lambda: PolynomialRadialBasis(5.0, transform=5),
            TypeError,
            "transform must be an instance of Transform; got 5",
        ),
        (
            lambda: WhitenedRadialBasis(PolynomialRadialBasis(5.0), {("Cu", "Cu"): np.ones((1, 2, 2))}),
            ValueError,
            ("matrices['Cu', 'Cu'] must be lower-triangular matrices, shape (n_l, n, n); got shape (1, 2, 2)"),
        ),
        (
            lambda: WhitenedRadialBasis(PolynomialRadialBasis(5.0), 5),
            TypeError,
            "matrices must be a mapping of pairs of chemical symbols to values; got 5",
        ),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error) as raised:
        call()
    assert type(raised.value) is error and str(raised.value) == message


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            "basis --species Xx",
            (
                "acepure basis: error: argument --species: 'Xx' is not a chemical symbol such as Cu; a file"
                " is named before such an option"
            ),
        ),
        ("basis --species Cu --order 0", "acepure: error: order must be an integer >= 1; got 0"),
        ("basis --species Cu --rcut -1", "acepure: error: rcut must be a finite number > 0; got -1.0"),
        (
            "basis --species Cu --totaldegree 3 --n-functions 5",
            (
                "acepure: error: choose the functions in exactly one way, of totaldegree, n_max with l_max,"
                " n_functions, functions; got totaldegree and n_functions"
            ),
        ),
        ("descriptors none.cif -o a.npz", "acepure: error: cannot read 'none.cif': there is no such file"),
        (
            "descriptors bad.xyz -o a.npz",
            "acepure: error: cannot read 'bad.xyz[0]': it is cut short, 1 of 2 atoms are there",
        ),
        (
            "descriptors wide.xyz -o a.npz",
            (
                "acepure: error: cannot read 'wide.xyz[0]': its comment line declares 2147483648 columns, and the "
                "first atom has 4"
            ),
        ),
        ("inspect text.ace", f"acepure: error: {NO_MODEL}"),
        ("inspect none.ace", "acepure: error: cannot read 'none.ace': there is no such file"),
        (
            "evaluate text.ace bad.xyz",
            "acepure: error: 'text.ace' is no model file of acepure, or is damaged or cut short",
        ),
        ("fit none.xyz -o a.ace", "acepure: error: cannot read 'none.xyz': there is no such file"),
    ],
)
def test_messages_of_the_command_line(capsys, arguments, message):
    assert main(arguments.split()) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1] == message
    assert sorted(os.listdir()) == ["bad.xyz", "bad.yace", "text.ace", "wide.xyz"]
