"""Messages against explicit sums over tuples of neighbors."""

import numpy as np
import pytest
from oracles.canonical import real_harmonics
from oracles.layers import message, triples

torch = pytest.importorskip("torch", reason="messages need PyTorch: pip install acepure[torch]")
from acepure.layers.message import Message, MessageTerms, pooled  # noqa: E402

CASES = [(0, 2), (1, 2), (3, 2), (0, 3), (1, 3), (2, 3), (3, 3)]


def environments(l_max, order, sizes=(5, 3, 1, 0), K=3, seed=0):
    """Centers with so many neighbors each, filled up with zeros: R, Y, w as arrays."""
    rng = np.random.default_rng(seed)
    J, C = max(sizes), len(sizes)
    R = rng.normal(size=(C, J, K, l_max + 1))
    Y = real_harmonics(rng.normal(size=(C, J, 3)), l_max)
    for c, n in enumerate(sizes):
        R[c, n:] = 0
    w = rng.normal(size=(C, MessageTerms(l_max, order).n_terms, K))
    return R, Y, w


def as_tensors(R, Y, w):
    radial = [torch.tensor(R[..., l], requires_grad=True) for l in range(R.shape[3])]
    return radial, torch.tensor(Y, requires_grad=True), torch.tensor(w)


@pytest.mark.parametrize("l_max, order", CASES)
@pytest.mark.parametrize("canonical", [True, False])
def test_messages_are_sums_over_tuples(l_max, order, canonical):
    R, Y, w = environments(l_max, order)
    found = Message(MessageTerms(l_max, order), *as_tensors(R, Y, w), canonical).value.detach().numpy()
    for c, n in enumerate((5, 3, 1, 0)):
        value, scale = message(R[c, :n], Y[c, :n], w[c], order, canonical)
        assert (abs(found[c] - value) <= 1e-14 * scale).all()


@pytest.mark.parametrize("l_max, order", CASES)
def test_without_one_neighbor(l_max, order):
    R, Y, w = environments(l_max, order)
    found = Message(MessageTerms(l_max, order), *as_tensors(R, Y, w), True).without_neighbor().detach().numpy()
    for c, n in enumerate((5, 3, 1)):
        scale = message(R[c, :n], Y[c, :n], w[c], order, False)[1]  # of what is taken apart
        for j in range(n):
            others = [k for k in range(n) if k != j]
            value, _ = message(R[c, others], Y[c, others], w[c], order, True)
            assert (abs(found[c, j] - value) <= 1e-14 * scale).all()
    assert (abs(found[2, 0]) <= 1e-15 * scale).all()  # nobody is left


@pytest.mark.parametrize("l_max", [1, 2, 3])
def test_terms_of_order_three_are_of_degree_three(l_max):
    """∂p3/∂A · A = 3 p3 = Σ_l q_l-like sums: every position of every term is counted."""
    terms = MessageTerms(l_max, 3)
    R, Y, w = as_tensors(*environments(l_max, 3))
    w[:, : 2 + l_max] = 0
    A = [a.detach().requires_grad_() for a in pooled(R, Y)]
    value = terms.value(A, w)
    gradient = torch.autograd.grad(value.sum(), A)
    total = sum((g * a).sum(1) for g, a in zip(gradient, A))
    torch.testing.assert_close(total, 3 * value, rtol=1e-13, atol=1e-12)


def test_couplings_are_those_of_the_oracle():
    for ours, (*ls, C) in zip(MessageTerms(3, 3).triples, triples(3), strict=True):
        assert list(ours.ls) == ls
        np.testing.assert_allclose(ours.tensor, C, atol=1e-14)


def test_gradients():
    """First and second derivatives, as training takes them."""
    R, Y, w = as_tensors(*environments(1, 3, sizes=(3, 2), K=1))

    def both(Y, w, *R):
        message = Message(MessageTerms(1, 3), R, Y, w, True)
        return message.value, message.without_neighbor()

    inputs = (Y, w.requires_grad_(), *R)
    assert torch.autograd.gradcheck(both, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(both, inputs, fast_mode=True)


@pytest.mark.parametrize("l_max, order, error", [(-1, 3, ValueError), (2, 4, ValueError), (2.0, 3, TypeError)])
def test_wrong_arguments(l_max, order, error):
    with pytest.raises(error, match=r"l_max|order"):
        MessageTerms(l_max, order)
