"""Slow twins: each quantity written line by line from its description, with no care for speed."""

from collections import Counter
from math import exp, floor, log, log2, sqrt

import numpy as np
from numpy.random import RandomState
from sklearn.neighbors import NearestNeighbors

SEED = 3334


def edge(
    x, y, *, members=1, normalise=False, stochastic=False, lower=0.001, upper=10.0, smoothness=1.0
):
    """EDGE as the published program computes it, in bits; the steps are numbered as described.

    As there, directions are drawn unit by unit (d x m), the 500 values anew from the seed for each
    coordinate. Shifts, where drawn, are drawn member by member, X before Y (there without a seed).
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    u, v = edge_coordinates(x, y)  # 1
    width_x = np.array([edge_width(c, u.shape[1], x.shape[1]) for c in u.T])  # 2
    width_y = np.array([edge_width(c, v.shape[1], y.shape[1]) for c in v.T])

    def estimate(smoothness):
        values = []
        for shift_x, shift_y, scale in edge_members(
            members, len(width_x), len(width_y), stochastic
        ):
            epsilon_x, epsilon_y = smoothness * scale * width_x, smoothness * scale * width_y
            code_x = [tuple(map(floor, (r + shift_x * epsilon_x) / epsilon_x)) for r in u]
            code_y = [tuple(map(floor, (r + shift_y * epsilon_y) / epsilon_y)) for r in v]
            values.append(edge_of_codes(code_x, code_y, lower, upper))  # 4
        return float(np.median(values))

    information = estimate(smoothness)
    if normalise:  # 5
        smoothness = 0.4 * smoothness * 2 ** (-sqrt(2 * information) + 1 / (2 * information))
        information = estimate(smoothness)
    return information


def edge_by_class(x, y, labels, **settings):
    """The estimates of the classes, weighted by their shares."""
    shares = [np.mean(labels == c) for c in np.unique(labels)]
    values = [edge(x[labels == c], y[labels == c], **settings) for c in np.unique(labels)]
    return sum(share * value for share, value in zip(shares, values, strict=True))


def edge_coordinates(x, y):
    if x.shape[1] <= 6 and y.shape[1] <= 6:
        return x, y
    stream = RandomState(SEED)  # X's directions, then Y's
    return edge_projection(x, stream), edge_projection(y, stream)


def edge_projection(x, stream):
    N, d = x.shape
    m = min(d, floor(log2(N / 10)))
    s = x.std(axis=0)
    s[s < 1e-4] = 1
    return x @ stream.normal(0, 1 / (s[:, None] * sqrt(d)), size=(d, m))


def edge_width(column, m, d):
    N = len(column)
    k = floor(0.43 * N ** (2 / 3 + 0.17 * m / (m + 1)) * exp(-1 / max(1e4, m**4)))
    chosen = RandomState(SEED).choice(column, size=500)
    neighbours = NearestNeighbors(n_neighbors=k).fit(column[:, None])
    e = neighbours.kneighbors(chosen[:, None])[0][:, -1].mean() + 1e-4
    return e * 18 * m / max(1 + log(d), 1) * 0.4


def edge_members(L, m_x, m_y, stochastic):
    """Shift of X and of Y, in widths, and scale of each member."""  # 3
    stream = RandomState(SEED)
    for member, scale in enumerate(np.linspace(1, 1.1, L)):
        if stochastic:
            yield 0.1 * stream.uniform(size=m_x), 0.1 * stream.uniform(size=m_y), scale
        else:
            yield np.full(m_x, member / L), np.full(m_y, member / L), scale


def edge_of_codes(code_x, code_y, lower, upper):
    N, total = len(code_x), 0.0
    n_x, n_y, n_xy = Counter(code_x), Counter(code_y), Counter(zip(code_x, code_y, strict=True))
    for i, j in zip(code_x, code_y, strict=True):
        ratio = log2(N * n_xy[i, j] / (n_x[i] * n_y[j]))
        total += min(max(ratio, lower), upper)
    return total / N
