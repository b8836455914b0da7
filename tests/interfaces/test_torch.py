"""Features in PyTorch: first and second derivatives by its own checks, and a network whose forces are trained."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from acepure import ACEBasis, LinearFunction
from acepure.interfaces.torch import torch_descriptors

torch = pytest.importorskip("torch")

BASES = {
    "canonical": ACEBasis(["Cu", "O"], rcut=4.0, order=2, totaldegree=2),
    "self-interacting": ACEBasis(["Cu", "O"], rcut=4.0, order=2, totaldegree=2, canonical=False),
    "vectors": ACEBasis(["Cu", "O"], rcut=4.0, order=1, totaldegree=3, irrep="1o"),
}


def crystal(periodic=True):
    atoms = bulk("Cu", cubic=True, a=3.7)[:3]
    atoms.symbols[1] = "O"
    atoms.pbc = (True, True, periodic)
    atoms.rattle(0.1, seed=3)
    return atoms


def tensors(atoms, strain=True):
    positions = torch.tensor(atoms.positions, requires_grad=True)
    if not strain:
        return (positions,)
    return positions, torch.tensor(0.02 * np.random.default_rng(0).normal(size=(3, 3)), requires_grad=True)


def test_values():
    atoms, basis = crystal(), BASES["canonical"]
    found = torch_descriptors(basis, atoms)
    np.testing.assert_array_equal(found.numpy(), basis.descriptors(atoms))
    positions, strain = tensors(atoms)
    moved = atoms.copy()
    moved.set_cell(atoms.cell.array @ (np.eye(3) + strain.detach().numpy()).T, scale_atoms=True)
    result = torch_descriptors(basis, atoms, positions, strain, num_threads=1).detach().numpy()
    np.testing.assert_allclose(result, basis.descriptors(moved), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", BASES)
def test_first_derivatives(name):
    for atoms in (crystal(), crystal(False)):
        assert torch.autograd.gradcheck(lambda *t, a=atoms: torch_descriptors(BASES[name], a, *t), tensors(atoms))


@pytest.mark.parametrize("name", BASES)
def test_second_derivatives(name):
    atoms = crystal()
    assert torch.autograd.gradgradcheck(
        lambda *t: torch_descriptors(BASES[name], atoms, *t), tensors(atoms), rtol=1e-6, atol=1e-6
    )


def test_second_derivatives_are_symmetric():
    """A Hessian by differences along unit vectors, and along others."""
    atoms, basis = crystal(), BASES["canonical"]
    (positions,) = tensors(atoms, strain=False)
    H = torch.autograd.functional.hessian(lambda r: torch_descriptors(basis, atoms, r).square().sum(), positions)
    H = H.reshape(9, 9).numpy()
    np.testing.assert_allclose(H, H.T, rtol=0, atol=1e-7 * abs(H).max())
    # translations of a crystal cost nothing
    np.testing.assert_allclose(H @ np.tile(np.eye(3), (3, 1)), 0, rtol=0, atol=1e-7 * abs(H).max())


def test_forces_of_a_linear_function():
    atoms, basis = crystal(), BASES["canonical"]
    theta = np.random.default_rng(1).normal(size=(2, len(basis)))
    wanted = LinearFunction(basis, theta).evaluate_with_gradients(atoms)
    positions, strain = torch.tensor(atoms.positions, requires_grad=True), torch.zeros((3, 3), dtype=float)
    strain.requires_grad_()
    features = torch_descriptors(basis, atoms, positions, strain)
    energies = (features * torch.tensor(theta)[basis.species_indices(atoms).tolist()]).sum(1)
    forces, virial = (-part.numpy() for part in torch.autograd.grad(energies.sum(), (positions, strain)))
    np.testing.assert_allclose(energies.detach().numpy(), wanted.energies, rtol=0, atol=1e-12)
    np.testing.assert_allclose(forces, wanted.forces, rtol=0, atol=1e-12)
    np.testing.assert_allclose(virial, wanted.virial, rtol=0, atol=1e-12)


class Network(torch.nn.Module):
    def __init__(self, n):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(n, 6), torch.nn.Tanh(), torch.nn.Linear(6, 1)).double()

    def forward(self, features):
        return self.layers(features).sum()


def loss_of(network, basis, atoms, given):
    positions = torch.tensor(atoms.positions, requires_grad=True)
    energy = network(torch_descriptors(basis, atoms, positions))
    (gradient,) = torch.autograd.grad(energy, positions, create_graph=True)
    return energy**2 + ((gradient + given) ** 2).sum()


def test_gradient_of_a_loss_on_forces():
    """By the parameters of a network, against central differences in each of them."""
    torch.manual_seed(0)
    atoms, basis = crystal(), BASES["canonical"]
    network, given = Network(len(basis)), torch.tensor(np.random.default_rng(2).normal(size=(3, 3)))
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(loss_of(network, basis, atoms, given), parameters)
    for parameter, gradient in zip(parameters, gradients):
        flat, h = parameter.data.view(-1), 1e-5
        for k in range(0, len(flat), max(1, len(flat) // 3)):
            value, losses = flat[k].item(), []
            for sign in (1, -1):
                flat[k] = value + sign * h
                losses.append(loss_of(network, basis, atoms, given).item())
            flat[k] = value
            rate = (losses[0] - losses[1]) / (2 * h)
            assert gradient.view(-1)[k].item() == pytest.approx(rate, rel=1e-6, abs=1e-7)


def test_no_differences_where_parameters_alone_are_trained(monkeypatch):
    """Second derivatives by positions cost six pullbacks: not where they are not asked for."""
    import acepure.interfaces.torch as module

    asked = []
    monkeypatch.setattr(module._Frame, "second", lambda self, *_: asked.append(1) or 1 / 0)
    network, given = Network(len(BASES["canonical"])), torch.zeros((3, 3), dtype=float)
    loss = loss_of(network, BASES["canonical"], crystal(), given)
    loss.backward(inputs=list(network.parameters()))
    assert not asked and all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_lower_precision(dtype):
    """What is lost is the rounding of the positions, and of the results, alone."""
    atoms, basis = crystal(), BASES["canonical"]
    positions = torch.tensor(atoms.positions, dtype=dtype, requires_grad=True)
    strain = torch.full((3, 3), 0.015625, dtype=dtype)
    features = torch_descriptors(basis, atoms, positions, strain)
    features.sum().backward()
    exact = positions.detach().double().requires_grad_()
    expected = torch_descriptors(basis, atoms, exact, strain.double())
    expected.sum().backward()
    assert features.dtype == positions.grad.dtype == dtype
    assert torch.equal(features, expected.to(dtype)) and torch.equal(positions.grad, exact.grad.to(dtype))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card")
def test_other_devices():
    atoms, basis = crystal(), BASES["canonical"]
    positions = torch.tensor(atoms.positions, device="cuda", requires_grad=True)
    features = torch_descriptors(basis, atoms, positions)
    features.sum().backward()
    assert features.device == positions.device
    np.testing.assert_array_equal(features.detach().cpu().numpy(), basis.descriptors(atoms))


def test_third_derivatives_are_refused():
    atoms, basis = crystal(), BASES["canonical"]
    (positions,) = tensors(atoms, strain=False)
    (first,) = torch.autograd.grad(torch_descriptors(basis, atoms, positions).sum(), positions, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), positions, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        second.sum().backward()


def test_errors():
    atoms, basis = crystal(), BASES["canonical"]
    for given, error, message in (
        (np.zeros((3, 3)), TypeError, "positions must be a torch.Tensor of floats"),
        (torch.zeros((3, 3), dtype=torch.int64), TypeError, "positions must be a torch.Tensor of floats"),
        (torch.zeros((2, 3)), ValueError, r"positions must have shape \(3, 3\); got \(2, 3\)"),
    ):
        with pytest.raises(error, match=message):
            torch_descriptors(basis, atoms, given)
    with pytest.raises(ValueError, match="strain must have shape"):
        torch_descriptors(basis, atoms, None, torch.zeros(6))
    for strain in (-torch.eye(3), torch.full((3, 3), float("nan"))):
        with pytest.raises(ValueError, match="leave a volume"):
            torch_descriptors(basis, atoms, None, strain)
    with pytest.raises(TypeError, match="basis must be an ACEBasis"):
        torch_descriptors(5, atoms)
    with pytest.raises(ValueError, match="atoms holds Zr"):
        torch_descriptors(basis, Atoms("Zr"))


def test_without_pytorch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from ase import Atoms\nfrom acepure import ACEBasis\nfrom acepure.interfaces.torch import torch_descriptors\n"
        "try:\n    torch_descriptors(ACEBasis(['Cu']), Atoms('Cu'))\n"
        "except ImportError as error:\n    print(error)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 'needs PyTorch: pip install "acepure[torch]"' in out


def test_example_of_the_page(capsys):
    """The network of docs/howto/torch.md, for two passes instead of sixty."""
    page = Path(__file__).resolve().parents[2] / "docs" / "howto" / "torch.md"
    code = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)[1]
    exec(code.replace("range(60)", "range(2)").replace("range(50)", "range(15)"), {"__name__": "page"})
    before, after = (line.split() for line in capsys.readouterr().out.splitlines())
    assert float(after[-2]) < 0.7 * float(before[-2])
