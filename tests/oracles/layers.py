"""Messages and layers by explicit sums over tuples of neighbors; nothing of the package is imported."""

import itertools
import math

import numpy as np
from oracles.canonical import real_gaunt


def triples(l_max):
    """(l1, l2, l3, integral of three harmonics divided by its norm) of the terms of order three."""
    found = []
    for ls in itertools.combinations_with_replacement(range(l_max + 1), 3):
        if sum(ls) % 2 == 0 and ls[2] <= ls[0] + ls[1]:
            G = real_gaunt(*ls)
            found.append((*ls, G / math.sqrt((G**2).sum())))
    return found


def message(R, Y, w, order, distinct):
    """Σ over ordered tuples of neighbors, distinct or not, of one center: value (K,), and the sum of |terms|.

    R (J, K, l_max + 1), Y (J, (l_max + 1)²), w (n_terms, K): w_0, w_l, w_t.
    """
    J, K, n_l = R.shape
    value, scale = np.zeros(K), np.zeros(K)
    part = [slice(l * l, (l + 1) ** 2) for l in range(n_l)]

    def add(term):
        nonlocal value, scale
        value = value + term
        scale = scale + abs(term)

    for j in range(J):
        add(w[0] * R[j, :, 0] * Y[j, 0])
    for i, j in itertools.product(range(J), repeat=2):
        if distinct and i == j:
            continue
        for l in range(n_l):
            add(w[1 + l] * R[i, :, l] * R[j, :, l] * (Y[i, part[l]] @ Y[j, part[l]]) / math.sqrt(2 * l + 1))
    if order == 3:
        for t, (a, b, c, C) in enumerate(triples(n_l - 1)):
            for i, j, k in itertools.product(range(J), repeat=3):
                if distinct and len({i, j, k}) < 3:
                    continue
                angular = np.einsum("abc,a,b,c", C, Y[i, part[a]], Y[j, part[b]], Y[k, part[c]])
                add(w[1 + n_l + t] * R[i, :, a] * R[j, :, b] * R[k, :, c] * angular)
    return value, scale


def site_energies(pairs, species, layers, order, level):
    """Energies of atoms by recursion of explicit sums, and the sum of |terms| of the last layer.

    pairs : list over atoms of lists of (j, reverse, Y, [R of each layer (K, l_max + 1)]); `reverse` is where i is
    among the pairs of j.
    layers : list of dicts w (Z, n_terms, K), c (Z, K), and of the first of two h0 (Z, K), U (Z, K, K).
    level : 0 all tuples, 1 distinct neighbors, 2 no walk turns back.
    """
    n = len(pairs)

    def sums(i, t, left_out=None):
        mine = [pair for number, pair in enumerate(pairs[i]) if number != left_out]
        if not mine:
            return np.zeros_like(layers[t]["c"][0]), np.zeros_like(layers[t]["c"][0])
        R = []
        for j, reverse, _, radial in mine:
            if t == 0:
                R.append(radial[0])
                continue
            of_neighbor = sums(j, 0, reverse if level == 2 else None)[0]
            h = layers[0]["h0"][species[j]] + layers[0]["U"][species[j]] @ of_neighbor
            R.append(radial[1] * h[:, None])
        Y = np.array([pair[2] for pair in mine])
        return message(np.array(R), Y, layers[t]["w"][species[i]], order, level > 0)

    found = np.zeros((2, n))
    for i in range(n):
        for t, layer in enumerate(layers):
            value, scale = sums(i, t)
            c = layer["c"][species[i]]
            found[:, i] += c @ value, abs(c) @ scale
    return found
