"""Regimes: in which of a few states a market probably is, and whether it has left one, by what is known at the bar."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import exponent

#: Rows of a filter of two states: whether it was begun, the wild state's probability, three of scratch space.
TWO_SLOTS = 5
#: The same of three states: whether it was begun, two probabilities, four of scratch space.
THREE_SLOTS = 7
#: Rows of a CUSUM's state: the upper and the lower sum.
CUSUM_SLOTS = 2
#: A likelihood ratio beyond exp(500) changes nothing any more.
RATIO_MAX = 500.0


@kernel
def two_states(
    z: FloatArray,
    stay_calm: float,
    stay_wild: float,
    calm: float,
    wild: float,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write the probability of the wild one of two Gaussian states, mean 0, deviations `calm` and `wild`, given all bars so far.

    Hamilton's filter, forward only (Hamilton 1989, Econometrica 57(2), equations 4 to 6), from the chain's stationary
    probabilities. `stay` is the probability that a state goes on. State: TWO_SLOTS rows.
    """
    begun, wilds = state[0, first:last], state[1, first:last]
    scaled, argument, ratio = state[2, first:last], state[3, first:last], state[4, first:last]
    rate, scale = 0.5 * (1.0 / (calm * calm) - 1.0 / (wild * wild)), calm / wild
    stationary = (1.0 - stay_calm) / (2.0 - stay_calm - stay_wild)
    for t in range(z.shape[0]):
        row, o = z[t, first:last], out[t, first:last]
        for s in range(row.size):
            power = rate * row[s] * row[s]
            argument[s] = power if power < RATIO_MAX else RATIO_MAX
        exponent.fill(argument, scaled, ratio)
        _two(row, ratio, stay_calm, stay_wild, scale, stationary, begun, wilds, o)


@kernel
def _two(
    z: FloatArray,
    ratio: FloatArray,
    stay_calm: float,
    stay_wild: float,
    scale: float,
    stationary: float,
    begun: FloatArray,
    wilds: FloatArray,
    out: FloatArray,
) -> None:
    for s in range(z.size):
        missing, p, started = math.isnan(z[s]), wilds[s], begun[s]
        prior = stay_wild * p + (1.0 - stay_calm) * (1.0 - p)
        prior = prior if started > 0.0 else stationary
        likely = prior * scale * ratio[s]
        posterior = likely / (likely + (1.0 - prior))
        out[s] = np.nan if missing else posterior
        wilds[s] = p if missing else posterior
        begun[s] = started if missing else 1.0


@kernel
def three_states(
    z: FloatArray,
    stay: float,
    mean_down: float,
    mean_up: float,
    down: float,
    calm: float,
    up: float,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write the probabilities of a falling, a calm (mean 0) and a rising Gaussian state, given all bars so far; out is [3, T, S].

    As `two_states`; who leaves a state goes to either other alike, and each is as likely at first. The falling state is to have
    the largest of the deviations `down`, `calm`, `up`. State: THREE_SLOTS rows.
    """
    begun, falls, rises = state[0, first:last], state[1, first:last], state[2, first:last]
    scaled, argument = state[3, first:last], state[4, first:last]
    ratio_calm, ratio_up = state[5, first:last], state[6, first:last]
    for t in range(z.shape[0]):
        row = z[t, first:last]
        _against(row, mean_down, down, 0.0, calm, argument)
        exponent.fill(argument, scaled, ratio_calm)
        _against(row, mean_down, down, mean_up, up, argument)
        exponent.fill(argument, scaled, ratio_up)
        o = out[:, t, first:last]
        _three(row, ratio_calm, ratio_up, stay, down / calm, down / up, begun, falls, rises, o[0], o[1], o[2])


@kernel
def _against(z: FloatArray, mean_base: float, base: float, mean: float, deviation: float, out: FloatArray) -> None:
    """Write by how much the log density of one state, without its constant, exceeds that of another."""
    for s in range(z.size):
        u, v = (z[s] - mean_base) / base, (z[s] - mean) / deviation
        out[s] = 0.5 * (u * u - v * v)


@kernel
def _three(
    z: FloatArray,
    ratio_calm: FloatArray,
    ratio_up: FloatArray,
    stay: float,
    scale_calm: float,
    scale_up: float,
    begun: FloatArray,
    falls: FloatArray,
    rises: FloatArray,
    out_down: FloatArray,
    out_calm: FloatArray,
    out_up: FloatArray,
) -> None:
    leave = 0.5 * (1.0 - stay)
    for s in range(z.size):
        fresh, missing = begun[s] == 0.0, math.isnan(z[s])
        p, q = (1.0 / 3.0 if fresh else falls[s]), (1.0 / 3.0 if fresh else rises[s])
        a, c = leave + (stay - leave) * p, leave + (stay - leave) * q
        b = (1.0 - a - c) * scale_calm * ratio_calm[s]
        c *= scale_up * ratio_up[s]
        share = 1.0 / (a + b + c)
        out_down[s], out_calm[s], out_up[s] = a * share, b * share, c * share
        falls[s] = falls[s] if missing else a * share
        rises[s] = rises[s] if missing else c * share
        begun[s] = begun[s] if missing else 1.0


@kernel
def cusum(z: FloatArray, drift: float, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the sums max(0, S + z - drift) and max(0, S - z - drift); out is [2, T, S] (Page 1954, Biometrika 41(1/2)).

    A high upper sum says that the mean of z has risen since the sum was last zero. State: CUSUM_SLOTS rows.
    """
    upper, lower = state[0, first:last], state[1, first:last]
    for t in range(z.shape[0]):
        _add(z[t, first:last], drift, upper, lower, out[0, t, first:last], out[1, t, first:last])


@kernel
def _add(z: FloatArray, drift: float, upper: FloatArray, lower: FloatArray, above: FloatArray, beneath: FloatArray) -> None:
    for s in range(z.size):
        missing, high, low = math.isnan(z[s]), upper[s], lower[s]
        up, down = high + z[s] - drift, low - z[s] - drift
        up, down = (0.0 if up < 0.0 else up), (0.0 if down < 0.0 else down)
        above[s], beneath[s] = up, down
        upper[s] = high if missing else up
        lower[s] = low if missing else down
