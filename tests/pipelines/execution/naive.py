"""The naive twin of decisions, risk and fills: plain Python floats and lists, one symbol after the other, nothing shared with ours.

Slow and simple on purpose: this is the arithmetic that a person checks by hand, and what the compiled one must equal to the bit.
"""

import math
from dataclasses import dataclass, field

from domain.market import Market
from domain.params import Params


@dataclass
class Symbol:
    """What is remembered of one symbol."""

    quantity: float = 0.0
    average: float = 0.0
    mark: float = math.nan
    seen_close: float = math.nan
    stopped: float = 0.0


@dataclass
class Wish:
    """What the decision wants of one symbol."""

    target: float
    reason: str
    conviction: float | None


@dataclass
class Order:
    """One order on its way through the gate."""

    asked: float
    closing: float
    opening: float
    rule: str = "none"
    outcome: str = "none"

    @property
    def quantity(self):
        return self.closing + self.opening if self.closing and self.opening else self.closing or self.opening


@dataclass
class Result:
    """Everything that happened."""

    equity: list = field(default_factory=list)
    charge: list = field(default_factory=list)
    orders: list = field(default_factory=list)
    """(bar, symbol, asked, quantity, outcome, rule, reason)"""
    fills: list = field(default_factory=list)
    """(bar, symbol, quantity, price, fee, realised)"""


class Twin:
    """A trader and an exchange in one."""

    def __init__(self, market: Market, params: Params, symbols: int, capital: float):
        self.market, self.params = market, params
        self.cash = capital
        self.symbols = [Symbol() for _ in range(symbols)]
        count = max(symbols, 2)
        self.mean_square, self.square, self.count = 1.0 + (count - 1.0) * 0.3, 1.0, float(count)
        self.aimed, self.surprise = [(0.0, 0.0)] * symbols, 1.0
        self.peak, self.halted = 0.0, False
        self.result = Result()

    def run(self, opens, closes, volumes, forecasts, sigmas) -> Result:
        """Trade lists of lists [T][S] (forecasts [T][S][Q]) and return what happened."""
        pending = [0.0] * len(self.symbols)
        for t in range(len(closes)):
            self.exchange(t, pending, opens[t], closes[t], volumes[t], sigmas[max(t - 1, 0)])
            equity = self.equity()
            self.result.equity.append(equity)
            wishes = self.decide(forecasts[t], closes[t], volumes[t], sigmas[t], equity)
            gated = self.gate(wishes, closes[t], volumes[t], equity)
            for s, order in enumerate(gated):
                if order.outcome != "none":
                    row = (t, s, order.asked, order.quantity, order.outcome, order.rule, wishes[s].reason)
                    self.result.orders.append(row)
            pending = [order.quantity for order in gated]
        return self.result

    def equity(self) -> float:
        return self.cash + running_sum([symbol.quantity * symbol.mark for symbol in self.symbols if symbol.quantity != 0])

    # The exchange

    def exchange(self, t, pending, opens, closes, volumes, sigmas):
        cost = self.market.cost
        for s, asked in enumerate(pending):
            if asked == 0 or math.isnan(opens[s]):
                continue
            quantity = self.clipped(asked, volumes[s])
            if quantity == 0:
                continue
            share = abs(quantity) / volumes[s] if volumes[s] > 0 else 0.0
            sigma = sigmas[s] if sigmas[s] > 0 else 0.0
            touch = (0.5 * cost.spread_bps + cost.slippage_bps) * 1e-4
            side = 1.0 if quantity > 0 else -1.0
            price = opens[s] * (1.0 + side * (touch + cost.impact * sigma * math.sqrt(share)))
            fee = cost.fee_bps * 1e-4 * abs(quantity) * price
            self.result.fills.append((t, s, quantity, price, fee, self.book(s, quantity, price, fee)))
        short = 0.0
        for s, symbol in enumerate(self.symbols):
            if closes[s] > 0:
                symbol.mark = closes[s]
            if symbol.quantity < 0:
                short -= symbol.quantity * symbol.mark
        charge = short * (cost.borrow_bps_year * 1e-4 / self.market.bars_a_year)
        self.result.charge.append(charge)
        self.cash -= charge

    def clipped(self, asked, volume):
        most = self.params.fills.participation_max
        if most > 1 or abs(asked) <= most * volume:
            return asked
        return self.lots(math.copysign(most * volume if volume > 0 else 0.0, asked))

    def lots(self, quantity):
        lot = self.market.instrument.lot
        return math.copysign(math.floor(abs(quantity) / lot * (1.0 + 1e-15) + 1e-9) * lot, quantity)

    def book(self, s, quantity, price, fee):
        """Average cost: adding averages, reducing realises, crossing does both."""
        symbol = self.symbols[s]
        self.cash = self.cash - quantity * price - fee
        before, after = symbol.quantity, symbol.quantity + quantity
        symbol.quantity = after
        if before == 0 or (before > 0) == (quantity > 0):
            symbol.average = (symbol.average * before + price * quantity) / after
            return 0.0
        if after == 0 or (after > 0) != (before > 0):
            realised = before * (price - symbol.average)
            symbol.average = price if after != 0 else 0.0
            return realised
        return -quantity * (price - symbol.average)

    # The decision

    def rho(self):
        excess = self.mean_square / self.square - 1.0
        return min(max(excess / max(self.count - 1.0, 1.0), 0.0), 0.95)

    def review(self, closes):
        """Average the squared return of the book last aimed at over its claimed variance, 60 bars, none above 25 averages."""
        rho = self.rho()
        seen = [
            (weight * (close / symbol.seen_close - 1.0), risk)
            for symbol, close, (weight, risk) in zip(self.symbols, closes, self.aimed, strict=True)
            if close > 0 and symbol.seen_close > 0
        ]
        gain, tilt = running_sum([gain for gain, _ in seen]), running_sum([risk for _, risk in seen])
        claimed = (1.0 - rho) * running_sum([risk * risk for _, risk in seen]) + rho * tilt * tilt
        if claimed > 0:
            self.surprise += (min(gain * gain / claimed, 25.0 * max(self.surprise, 1.0)) - self.surprise) / 60.0

    def correlation(self, closes, sigmas):
        standard = []
        for symbol, close, sigma in zip(self.symbols, closes, sigmas, strict=True):
            if close > 0:
                if symbol.seen_close > 0 and sigma > 0:
                    standard.append((close / symbol.seen_close - 1.0) / sigma)
                symbol.seen_close = close
        count = len(standard)
        if count > 1:
            total = squares = 0.0
            for z in standard:
                total += z
                squares += z * z
            self.mean_square += (1.0 / 250.0) * (total * total / count - self.mean_square)
            self.square += (1.0 / 250.0) * (squares / count - self.square)
            self.count += (1.0 / 250.0) * (count - self.count)
        return self.rho()

    def decide(self, forecasts, closes, volumes, sigmas, equity):
        chosen, limits, shortable = self.params.decisions, self.params.risk, self.market.instrument.shortable
        self.review(closes)
        rho = self.correlation(closes, sigmas)
        convictions, spreads = [], []
        for forecast, close, sigma in zip(forecasts, closes, sigmas, strict=True):
            spread = (forecast[4] - forecast[0]) * (1 / (2 * 1.6448536269514722))
            spreads.append(spread)
            if spread > 0 and close > 0 and sigma > 0:
                convictions.append(min(max(forecast[2] / (chosen.edge_sigma_full * spread), -1.0), 1.0))
            else:
                convictions.append(None)
        known = [c for c in convictions if c is not None]
        if shortable and len(known) > 1:
            mean = running_sum(known) / len(known)
            convictions = [None if c is None else min(max(c - mean, -1.0), 1.0) for c in convictions]
        touch = self.market.cost.fee_bps * 1e-4 + (0.5 * self.market.cost.spread_bps + self.market.cost.slippage_bps) * 1e-4
        for s, conviction in enumerate(convictions):
            if conviction is not None:
                earned = abs(conviction) * chosen.edge_sigma_full * spreads[s]
                if earned <= chosen.band * touch or (conviction <= 0 and not shortable):
                    convictions[s] = 0.0
        tilt = running_sum([c for c in convictions if c is not None])
        risk = math.sqrt(((1.0 - rho) * len(known) + rho * tilt * tilt) * max(self.surprise, 1.0))
        target = chosen.volatility_target / math.sqrt(self.market.bars_a_year)
        full = [
            0.0 if c is None else min(target / (risk * sigma), limits.symbol_weight_max)
            for c, sigma in zip(convictions, sigmas, strict=True)
        ]
        pairs = [(c, f) for c, f in zip(convictions, full, strict=True) if c is not None]
        gross, net = running_sum([abs(c) * f for c, f in pairs]), running_sum([c * f for c, f in pairs])
        fit = limits.gross_max / gross if gross > limits.gross_max else 1.0
        if abs(net) * fit > limits.net_max:
            fit = limits.net_max / abs(net)
        full = [f * fit for f in full]
        weights = [0.0 if c is None else c * f for c, f in zip(convictions, full, strict=True)]
        self.aimed = [(w, 0.0 if c is None else w * g) for w, c, g in zip(weights, convictions, sigmas, strict=True)]
        return [
            self.wish(s, convictions[s], spreads[s], full[s], closes[s], volumes[s], sigmas[s], equity)
            for s in range(len(self.symbols))
        ]

    def wish(self, s, conviction, spread, full, close, volume, sigma, equity):
        chosen, cost, held = self.params.decisions, self.market.cost, self.symbols[s].quantity
        if conviction is None or not full > 0 or not equity > 0:
            return Wish(held, "no_forecast", conviction)
        touch = cost.fee_bps * 1e-4 + (0.5 * cost.spread_bps + cost.slippage_bps) * 1e-4
        worth = chosen.edge_sigma_full * spread
        gap = conviction * full - held * close / equity
        moved, round_trips = chosen.rate * gap * equity / close, 2.0 * chosen.band * full
        if worth * abs(gap) < round_trips * touch or gap == 0:
            return Wish(held, "hold", conviction)
        if round_trips > 0 and volume > 0 and cost.impact > 0:
            # touch + impact sigma sqrt(quantity / volume) = what the move gains, solved for the quantity
            root = (worth * abs(gap) / round_trips - touch) / (cost.impact * sigma)
            moved = math.copysign(min(abs(moved), max(root, 0.0) * max(root, 0.0) * volume), moved)
        target = self.lots(held + moved)
        if conviction == 0 and abs(target) * close < self.params.orders.notional_min:
            target = 0.0
        if target == held:
            return Wish(held, "hold", conviction)
        return Wish(target, "forecast" if conviction != 0 else "no_edge", conviction)

    # The gate

    def gate(self, wishes, closes, volumes, equity):
        orders = [self.split(w.target - s.quantity, s.quantity) for w, s in zip(wishes, self.symbols, strict=True)]
        rule = "kill_latch" if self.halted else ""
        self.peak = self.peak if self.halted else max(self.peak, equity)
        if not rule and 1.0 - equity / self.peak > self.params.risk.drawdown_max:
            self.halted, rule = True, "drawdown"
        if rule:
            return [self.flattened(o, s.quantity, rule) for o, s in zip(orders, self.symbols, strict=True)]
        for s, order in enumerate(orders):
            self.stop(s, order, wishes[s].conviction)
            if order.opening != 0:
                self.one_symbol(s, order, closes[s], volumes[s], equity)
        self.whole_book(orders, equity)
        for s, order in enumerate(orders):
            self.finish(order, self.symbols[s])
        return orders

    def split(self, asked, held):
        closing = math.copysign(min(abs(asked), abs(held)), asked) if asked * held < 0 else 0.0
        return Order(asked, closing, asked - closing)

    def flattened(self, order, held, rule):
        outcome = "forced" if held != 0 else "denied" if order.asked != 0 else "none"
        return Order(order.asked, -held if held != 0 else 0.0, 0.0, rule if outcome != "none" else "none", outcome)

    def stop(self, s, order, conviction):
        symbol = self.symbols[s]
        turned = conviction is not None and symbol.stopped * conviction <= 0
        if turned and symbol.stopped * symbol.quantity <= 0:
            symbol.stopped = 0.0
        side = math.copysign(1.0, symbol.quantity) if symbol.quantity != 0 else 0.0
        if side != 0 and side * (1.0 - symbol.mark / symbol.average) > self.params.risk.stop_loss:
            symbol.stopped = side
        if symbol.stopped * symbol.quantity > 0:
            order.closing, order.opening, order.rule, order.outcome = -symbol.quantity, 0.0, "stop_loss", "forced"
        elif symbol.stopped * order.quantity > 0:
            order.opening, order.rule = 0.0, "stop_loss"

    def one_symbol(self, s, order, close, volume, equity):
        limits, symbol = self.params.risk, self.symbols[s]
        price = symbol.mark
        if math.isnan(close):
            order.opening, order.rule = 0.0, "missing_price"
            return
        if not self.market.instrument.shortable and order.quantity < 0 and symbol.quantity + order.quantity < 0:
            order.opening, order.rule = 0.0, "short"
        if abs(symbol.quantity + order.quantity) * price > limits.symbol_weight_max * equity:
            room = limits.symbol_weight_max * equity / price - symbol.quantity * math.copysign(1.0, order.quantity)
            self.cap(order, room, "symbol_weight")
        if abs(order.quantity) * price > limits.order_notional_max:
            self.cap(order, limits.order_notional_max / price, "order_notional")
        if limits.participation_max <= 1 and abs(order.quantity) > limits.participation_max * volume:
            self.cap(order, limits.participation_max * volume, "participation")

    def cap(self, order, most, rule):
        left = max(abs(order.closing), most, 0.0)
        if left < abs(order.quantity):
            order.opening, order.rule = math.copysign(left, order.quantity) - order.closing, rule

    def whole_book(self, orders, equity):
        limits = self.params.risk
        held = [(o, s.quantity, s.mark) for o, s in zip(orders, self.symbols, strict=True)]
        gross = running_sum([abs(q) * p for _, q, p in held if q != 0])
        net = running_sum([q * p for _, q, p in held if q != 0])
        covers = running_sum([max(o.closing, 0.0) * p for o, q, p in held if q != 0])
        closes = running_sum([-min(o.closing, 0.0) * p for o, q, p in held if q != 0])
        buys = running_sum([o.opening * p for o, _, p in held if o.opening > 0])
        sells = running_sum([-o.opening * p for o, _, p in held if o.opening < 0])
        buy, buy_rule = fitted(1.0, "", gross, buys + sells, limits.gross_max * equity, "gross")
        sell, sell_rule = buy, buy_rule
        buy, buy_rule = fitted(buy, buy_rule, net + covers, buy * buys, limits.net_max * equity, "net")
        sell, sell_rule = fitted(sell, sell_rule, closes - net, sell * sells, limits.net_max * equity, "net")
        added, most = buy * buys + sell * sells, limits.turnover_max * equity
        buy, buy_rule = fitted(buy, buy_rule, covers + closes, added, most, "turnover")
        sell, sell_rule = fitted(sell, sell_rule, covers + closes, added, most, "turnover")
        for order in orders:
            factor, rule = (buy, buy_rule) if order.quantity > 0 else (sell, sell_rule)
            if factor < 1 and order.opening != 0:
                order.opening, order.rule = factor * order.opening, rule

    def finish(self, order, symbol):
        if order.asked == 0 and order.quantity == 0:
            return
        if order.quantity != -symbol.quantity:
            rounded = self.lots(order.quantity)
            order.closing, order.opening = rounded, 0.0
            if rounded != 0 and abs(rounded) * symbol.mark < self.params.orders.notional_min:
                order.closing, order.rule = 0.0, "min_notional"
        if order.outcome != "forced":
            answer = "approved" if order.rule == "none" else "reduced"
            order.outcome = answer if order.quantity != 0 else "denied"


def fitted(factor, rule, used, added, most, name):
    """Return the factor and rule that remain when `added` on top of `used` must keep within `most`."""
    if added <= 0 or used + added <= most:
        return factor, rule
    return factor * (max(most - used, 0.0) / added), name


def running_sum(values):
    """Add up from left to right: `sum` compensates since Python 3.12 and would not be the same."""
    total = 0.0
    for value in values:
        total += value
    return total
