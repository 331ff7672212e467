"""skfolio's optimisers as a reference for sizing: on the same convictions, at the same claimed volatility, on the same exchange.

The house sizes in closed form, as if all symbols were equally correlated. Here every row's book is found by an optimiser, mostly
under correlations of every pair, shrunk (Ledoit and Wolf 2004, J. Multivariate Analysis 88(2)), scaled to the volatility that the
house claims of its own book, and traded with the house's band and rate. No limit of the gate binds, in either.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from skfolio.moments import LedoitWolf
from skfolio.optimization import HierarchicalRiskParity, MeanRisk, ObjectiveFunction, RiskBudgeting
from skfolio.prior import BasePrior, ReturnDistribution

from benchmarks.execution import books
from benchmarks.execution.books import Account, Sized, Way, World
from benchmarks.execution.tables import head, line, number, ratio
from domain import cost
from domain.panel import FloatArray
from models import metrics
from models.contract import BoolArray

#: Bars of which pairs' correlations are estimated, as many as the house averages over, and after how many it is done again.
WINDOW = 250
REFRESHED = {True: 5, False: 24}
#: Days have fewer bars a year than this.
DAILY = 400
#: Larger standardised returns are cut to this many deviations before they are correlated.
OUTLIER = 6.0
#: Bound of weights that no book comes near.
WEIGHT_MAX = 1e3


class Given(BasePrior):  # type: ignore[misc]
    """A prior that is told its moments."""

    def __init__(self, mean: FloatArray, covariance: FloatArray) -> None:
        self.mean, self.covariance = mean, covariance

    def fit(self, X: FloatArray, y: object = None, **told: object) -> "Given":  # noqa: N803
        """Take the moments as told."""
        self.return_distribution_ = ReturnDistribution(mu=self.mean, covariance=self.covariance, returns=np.asarray(X))
        return self


@dataclass(frozen=True)
class Case:
    """A world with what the house wants in it, and what is known of its pairs."""

    world: World
    way: Way
    sized: Sized
    pairs: dict[int, FloatArray]
    """Shrunk correlations [S, S] by the row from which on they are used."""

    @classmethod
    def of(cls, world: World) -> "Case":
        """Prepare a world, without limits."""
        world = world.free
        aim, sigma = books.convictions(world)
        sized = books.sized(world, aim)
        return cls(world, Way(aim, sized.full, sigma), sized, _pairs(world))

    def pair(self, t: int) -> FloatArray:
        """Return the correlations of pairs that were known at row t."""
        return self.pairs[max(row for row in self.pairs if row <= t)]

    def claimed(self) -> FloatArray:
        """Return [T] the volatility of one bar that one correlation claims of the house's book."""
        risk = np.nan_to_num(self.way.aim * self.sized.full * self.world.scale)
        claimed: FloatArray = np.sqrt(
            (1.0 - self.sized.rho) * (risk**2).sum(axis=1) + self.sized.rho * risk.sum(axis=1) ** 2
        )  # fmt: skip
        return claimed

    def claimed_by_pairs(self) -> FloatArray:
        """Return [T] the volatility of one bar that pairs' correlations claim of the house's book."""
        risk, found = np.nan_to_num(self.way.aim * self.sized.full * self.world.scale), np.full(len(self.way.aim), np.nan)
        for t in range(self.world.first, len(found)):
            found[t] = np.sqrt(risk[t] @ self.pair(t) @ risk[t])
        return found

    def earned(self, aim: FloatArray) -> FloatArray:
        """Return [T] what books at these aims earn from the next open to the one after it, if trading were free."""
        opened, ahead = self.world.panel.open, np.zeros_like(aim)
        ahead[:-2] = np.nan_to_num(opened[2:] / opened[1:-1] - 1.0)
        earned: FloatArray = (np.nan_to_num(aim * self.sized.full) * ahead).sum(axis=1)
        earned[: self.world.first] = np.nan
        earned[-2:] = np.nan
        return earned


def _pairs(world: World) -> dict[int, FloatArray]:
    standard = np.clip(np.nan_to_num(_standardised(world)), -OUTLIER, OUTLIER)
    found, step = {}, REFRESHED[world.market.bars_a_year < DAILY]
    for t in range(world.first, len(standard), step):
        window = standard[max(t - WINDOW + 1, 0) : t + 1]
        traded = window.any(axis=0)
        covariance = LedoitWolf().fit(window[:, traded]).covariance_
        deviation = np.sqrt(np.diag(covariance))
        found[t] = np.eye(window.shape[1])
        found[t][np.ix_(traded, traded)] = covariance / np.outer(deviation, deviation)
    return found


def _standardised(world: World) -> FloatArray:
    """Return [T, S] returns from the last known close, in volatilities of a bar; NaN where there is none."""
    last, found = np.full(world.scale.shape[1], np.nan), np.full(world.scale.shape, np.nan)
    for t, close in enumerate(world.panel.close):
        found[t] = (close / last - 1.0) / world.scale[t]
        last = np.where(close > 0.0, close, last)
    return found


def bias(earned: FloatArray, claimed: FloatArray) -> float:
    """Return the deviation of returns in units of what was claimed of each: 1 where risk is told right."""
    known = (claimed > 0.0) & np.isfinite(earned)
    return float((earned[known] / claimed[known]).std())


#: Finds a row's weights, up to their scale, for the symbols that have a conviction.
Weigh = Callable[[int, BoolArray], FloatArray]
#: What correlations [S, S] are taken to be at a row.
Correlation = Callable[[int], FloatArray]


def mean_variance(case: Case, correlation: Correlation) -> Weigh:
    """Return skfolio's largest utility of mean and variance; any aversion to risk will do, for the scale is set afterwards."""

    def weigh(t: int, known: BoolArray) -> FloatArray:
        sigma = case.world.scale[t, known]
        covariance = np.outer(sigma, sigma) * correlation(t)[np.ix_(known, known)]
        return _utility(case, case.way.aim[t, known] * sigma, covariance, 0.5 / sigma.mean())

    return weigh


def _utility(case: Case, mean: FloatArray, covariance: FloatArray, aversion: float, **terms: object) -> FloatArray:
    estimator = MeanRisk(
        objective_function=ObjectiveFunction.MAXIMIZE_UTILITY, risk_aversion=aversion, budget=None, max_weights=WEIGHT_MAX,
        min_weights=-WEIGHT_MAX if case.world.market.instrument.shortable else 0.0, prior_estimator=Given(mean, covariance),
        **terms,
    )  # fmt: skip
    weights: FloatArray = estimator.fit(np.zeros((2, len(mean)))).weights_
    return weights


def parity(case: Case, estimator: type[HierarchicalRiskParity | RiskBudgeting]) -> Weigh:
    """Return convictions' shares of full positions that a parity of risks weighs, as often as correlations are estimated."""
    full, world = np.zeros_like(case.way.aim), case.world
    for t in range(world.first, len(full)):
        full[t] = full[t - 1]
        if t in case.pairs:
            known = np.isfinite(case.way.aim[t])
            sigma = world.scale[t, known]
            covariance = np.outer(sigma, sigma) * case.pairs[t][np.ix_(known, known)]
            full[t, known] = estimator().fit(_sample(covariance)).weights_
    return lambda t, known: case.way.aim[t, known] * full[t, known]


def _sample(covariance: FloatArray) -> FloatArray:
    """Return [2N, N] returns whose unbiased covariance is exactly this: what clusters symbols looks at returns."""
    raw = np.random.default_rng(0).normal(size=(2 * len(covariance), len(covariance)))
    white, _ = np.linalg.qr(raw - raw.mean(axis=0))
    sample: FloatArray = np.sqrt(len(raw) - 1.0) * white @ np.linalg.cholesky(covariance).T
    return sample


def aims(case: Case, weigh: Weigh, correlation: Correlation) -> FloatArray:
    """Return [T, S] aims, in the house's full positions, of weights at the volatility that the house claims of its own book."""
    found, claimed, world = np.where(np.isnan(case.way.aim), np.nan, 0.0), case.claimed(), case.world
    for t in range(world.first, len(found)):
        if claimed[t] > 0.0:
            known = np.isfinite(case.way.aim[t])
            weights = weigh(t, known)
            risk = weights * world.scale[t, known]
            volatility = np.sqrt(risk @ correlation(t)[np.ix_(known, known)] @ risk)
            if volatility > 0.0:
                found[t, known] = weights * claimed[t] / volatility / case.sized.full[t, known]
    return found


def with_costs(case: Case) -> Account:
    """Trade what skfolio's utility wants when the costs of getting there are part of it: no band and no rate besides.

    Mean, variance and the cost of one way are those of a horizon. The aversion is that by which a free book would have the
    volatility that the house claims.
    """
    world, claimed = case.world.decided(band=0.0, rate=1.0), case.claimed()
    edge, paid = world.params.decisions.edge_sigma_full, cost.one_way(world.market.cost.rates(), 0.0, 0.0)
    horizon = world.market.horizon

    def wanted(t: int, held: FloatArray) -> FloatArray:
        found, known = np.where(np.isnan(case.way.aim[t]), np.nan, 0.0), np.isfinite(case.way.aim[t])
        if not claimed[t] > 0.0:
            return found
        sigma = np.sqrt(horizon) * world.scale[t, known]
        covariance = np.outer(sigma, sigma) * case.pair(t)[np.ix_(known, known)]
        mean = edge * case.way.aim[t, known] * sigma
        free = np.linalg.solve(covariance, mean)
        aversion = np.sqrt(free @ covariance @ free) / (2.0 * np.sqrt(horizon) * claimed[t])
        weights = _utility(case, mean, covariance, aversion, transaction_costs=paid, previous_weights=held[known])
        found[known] = weights / case.sized.full[t, known]
        return found

    return books.trade(world, case.way, wanted=wanted)


@dataclass(frozen=True)
class Row:
    """What a way of sizing came to."""

    name: str
    likeness: float
    """Mean correlation of a row's aims with the house's, in weights."""
    bias: float
    """Of the books aimed at."""
    account: Account


def rows(world: World) -> list[Row]:
    """Measure the closed form and its references."""
    case, symbols = Case.of(world), len(world.panel.symbols)

    def one(t: int) -> FloatArray:
        correlation: FloatArray = case.sized.rho[t] + (1.0 - case.sized.rho[t]) * np.eye(symbols)
        return correlation

    found = {
        "closed form, one correlation (shipped)": case.way.aim,
        "mean-variance, one correlation": aims(case, mean_variance(case, one), one),
        "mean-variance, shrunk pairs": aims(case, mean_variance(case, case.pair), case.pair),
        "risk budgeting, shrunk pairs": aims(case, parity(case, RiskBudgeting), case.pair),
        "hierarchical risk parity, shrunk pairs": aims(case, parity(case, HierarchicalRiskParity), case.pair),
    }
    told = [_row(case, name, aim) for name, aim in found.items()]
    return [*told, Row("mean-variance with costs, shrunk pairs", np.nan, np.nan, with_costs(case))]


def _row(case: Case, name: str, aim: FloatArray) -> Row:
    account = books.trade(case.world, case.way._replace(aim=aim))
    likeness = metrics.mean(metrics.ic(aim * case.sized.full, np.nan_to_num(case.way.aim * case.sized.full)))
    return Row(name, likeness, bias(case.earned(aim), case.claimed()), account)


def told(rows: Sequence[Row], world: World) -> list[str]:
    """Return the table of sizes, and what its columns are."""
    year = world.market.bars_a_year
    lines = [
        "`likeness` is the mean correlation of a bar's weights with the closed form's, `bias` the deviation of the aimed book's",
        "returns in units of what is claimed of each, the same for all. The last trades to what costs leave, no band, no rate.",
        "",
        *head("sizes", "likeness", "bias", "volatility, %", "turnover a year", "costs, %", "net, %", "Sharpe before costs",
              "net Sharpe"),
    ]  # fmt: skip
    for each in rows:
        account = each.account
        money = (account.net.std() * year**0.5, account.cost.mean() * year, account.net.mean() * year)
        volatility, paid, net = (f"{100 * value:.2f}" for value in money)
        lines.append(
            line(each.name, number(each.likeness), number(each.bias), volatility, f"{account.traded.mean() * year:.1f}", paid, net,
                 ratio(account.before, year), ratio(account.net, year))
        )  # fmt: skip
    return lines
