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
    best: float = 0.0
    """The best mark that the present position has seen, 0 where there is none."""
    side: int = 0
    """The side of the position that `best` belongs to."""
    usual_volume: float = math.nan
    # What it is told of one bar: orders that work, and who may only reduce.
    buying: float = 0.0
    selling: float = 0.0
    working_price: float = math.nan
    highest_buy: float = math.nan
    lowest_sell: float = math.nan
    price: float = math.nan
    sector: int = -1
    blocked: str = ""

    @property
    def worst(self):
        """The largest size after any of the working orders."""
        return max(abs(self.quantity), abs(self.quantity + self.buying), abs(self.quantity - self.selling))

    @property
    def closing(self):
        """The order that closes what no working order closes."""
        if self.quantity > 0:
            return -max(self.quantity - self.selling, 0.0)
        return max(-self.quantity - self.buying, 0.0)

    @property
    def dear(self):
        """The price at which it counts."""
        return max([self.mark, *(p for p in (self.working_price, self.price) if not math.isnan(p))])


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
    reduces: bool = False

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
        self.day, self.day_equity, self.day_loss, self.last_equity, self.variance = 0, None, None, None, 0.0
        self.other_gross, self.other_net, self.buying_power, self.sent, self.demanded = 0.0, 0.0, math.inf, 0, ("active", "")
        self.other_bought, self.other_sold, self.closing = 0.0, 0.0, math.inf
        self.result = Result()

    def run(self, opens, closes, volumes, forecasts, sigmas, days, held_over=()) -> Result:
        """Trade lists of lists [T][S] (forecasts [T][S][Q], days and what may be held over [T]) and return what happened."""
        pending = [0.0] * len(self.symbols)
        for t in range(len(closes)):
            self.exchange(t, pending, opens[t], closes[t], volumes[t], sigmas[max(t - 1, 0)])
            equity = self.equity()
            self.result.equity.append(equity)
            wishes = self.decide(forecasts[t], closes[t], volumes[t], sigmas[t], equity)
            self.observe(volumes[t], equity, days[t])
            self.closing = held_over[t] if held_over else math.inf
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

    def observe(self, volumes, equity, day):
        if self.day_equity is None or day > self.day:
            self.day, self.day_equity, self.day_loss = day, self.last_equity or equity, None
        loss = 1.0 - equity / self.day_equity
        if self.day_loss is None and loss > self.params.risk.daily_loss_max:
            self.day_loss = loss
        if self.last_equity is not None:
            change = equity / self.last_equity - 1.0
            self.variance += (change * change - self.variance) / 60
        self.last_equity = equity
        for symbol, volume in zip(self.symbols, volumes, strict=True):
            if volume >= 0:
                first = math.isnan(symbol.usual_volume)
                symbol.usual_volume = volume if first else symbol.usual_volume + (volume - symbol.usual_volume) / 20
            side = (symbol.quantity > 0) - (symbol.quantity < 0)
            if side != symbol.side:
                symbol.side, symbol.best = side, symbol.average if side else 0.0
            if side > 0:
                symbol.best = max(symbol.best, symbol.mark)
            elif side < 0:
                symbol.best = min(symbol.best, symbol.mark)

    def gate(self, wishes, closes, volumes, equity):
        asked = [w.target - s.quantity for w, s in zip(wishes, self.symbols, strict=True)]
        return self.judge(asked, [w.conviction for w in wishes], closes, volumes, equity)

    def judge(self, asked, convictions, closes, volumes, equity):
        """Return the orders that are left of the changes asked for."""
        orders = [self.split(change, s) for change, s in zip(asked, self.symbols, strict=True)]
        rule = "kill_latch" if self.halted else ""
        self.peak = self.peak if self.halted else max(self.peak, equity)
        if not rule and 1.0 - equity / self.peak > self.params.risk.drawdown_max:
            self.halted, rule = True, "drawdown"
        if not rule and self.demanded[0] == "halted":
            rule = self.demanded[1]
        if rule:
            return [self.flattened(o, s, rule) for o, s in zip(orders, self.symbols, strict=True)]
        reducing = "daily_loss" if self.day_loss is not None else self.demanded[1] if self.demanded[0] == "reducing" else ""
        self.before_gap(orders, equity)
        for s, order in enumerate(orders):
            self.stop(s, order, convictions[s])
            if order.opening != 0 and (reducing or self.symbols[s].blocked):
                order.opening, order.rule = 0.0, reducing or self.symbols[s].blocked
            if order.opening != 0 and self.admitted(order, self.symbols[s], closes[s]):
                self.one_symbol(s, order, volumes[s], equity)
        self.sectors(orders, equity)
        self.whole_book(orders, equity)
        for s, order in enumerate(orders):
            self.finish(order, self.symbols[s])
        self.count_out(orders)
        return orders

    def before_gap(self, orders, equity):
        """Shrink all that is wanted in proportion, to what may be held while nothing trades."""
        wanted = [symbol.quantity + order.asked for order, symbol in zip(orders, self.symbols, strict=True)]
        prices = [symbol.mark if symbol.mark > 0 else symbol.average for symbol in self.symbols]
        gross = running_sum([abs(size) * price for size, price in zip(wanted, prices, strict=True) if size != 0])
        if math.isinf(self.closing) or gross <= self.closing * equity:
            return
        for s, symbol in enumerate(self.symbols):
            target = self.lots(wanted[s] * (self.closing * equity / gross))
            if target == wanted[s]:
                continue
            smaller = self.split(target - symbol.quantity, symbol)
            orders[s].closing, orders[s].opening, orders[s].rule = smaller.closing, smaller.opening, "gap"
            if target * symbol.quantity >= 0 and abs(target) < abs(symbol.quantity):
                orders[s].opening = 0.0
                orders[s].outcome = "forced" if smaller.closing != 0 else "none"

    def split(self, asked, symbol):
        closing = math.copysign(min(abs(asked), abs(symbol.closing)), asked) if asked * symbol.quantity < 0 else 0.0
        return Order(asked, closing, asked - closing)

    def flattened(self, order, symbol, rule):
        closing = symbol.closing if self.params.risk.halted == "flatten" else 0.0
        outcome = "forced" if closing != 0 else "denied" if order.asked != 0 else "none"
        return Order(order.asked, closing, 0.0, rule if outcome != "none" else "none", outcome)

    def stop(self, s, order, conviction):
        symbol = self.symbols[s]
        turned = conviction is not None and symbol.stopped * conviction <= 0
        if turned and symbol.stopped * symbol.quantity <= 0:
            symbol.stopped = 0.0
        side = math.copysign(1.0, symbol.quantity) if symbol.quantity != 0 else 0.0
        rule = "stop_loss"
        if side != 0 and side * (1.0 - symbol.mark / symbol.average) > self.params.risk.stop_loss:
            symbol.stopped = side
        elif side != 0 and side * (1.0 - symbol.mark / symbol.best) > self.params.risk.trailing_stop:
            symbol.stopped, rule = side, "trailing_stop"
        if symbol.stopped * symbol.quantity > 0:
            order.closing, order.opening, order.rule = symbol.closing, 0.0, rule
            order.outcome = "forced" if symbol.closing != 0 else "none"
        elif symbol.stopped * order.quantity > 0:
            order.opening, order.rule = 0.0, rule

    def admitted(self, order, symbol, close):
        reference, rule = symbol.price if not math.isnan(symbol.price) else close, ""
        if math.isnan(close) or math.isnan(symbol.mark):
            rule = "missing_price"
        elif abs(reference - symbol.mark) > self.params.risk.price_collar * symbol.mark:
            rule = "price_collar"
        elif order.quantity > 0 and symbol.selling:
            apart = not math.isnan(symbol.price) and not math.isnan(symbol.lowest_sell) and symbol.price < symbol.lowest_sell
            rule = "" if apart else "self_trade"
        elif order.quantity < 0 and symbol.buying:
            apart = not math.isnan(symbol.price) and not math.isnan(symbol.highest_buy) and symbol.price > symbol.highest_buy
            rule = "" if apart else "self_trade"
        if rule:
            order.opening, order.rule = 0.0, rule
        return not rule

    def one_symbol(self, s, order, volume, equity):
        limits, symbol = self.params.risk, self.symbols[s]
        price = symbol.dear
        held = symbol.quantity + symbol.buying if order.quantity > 0 else symbol.quantity - symbol.selling
        if not self.market.instrument.shortable and order.quantity < 0 and held + order.quantity < 0:
            order.opening, order.rule = 0.0, "short"
        if abs(held + order.quantity) * price > limits.symbol_weight_max * equity:
            room = limits.symbol_weight_max * equity / price - held * math.copysign(1.0, order.quantity)
            self.cap(order, room, "symbol_weight")
        if abs(order.quantity) * price > limits.order_notional_max:
            self.cap(order, limits.order_notional_max / price, "order_notional")
        self.cap(order, limits.order_quantity_max, "order_quantity")
        if limits.participation_max <= 1:
            self.cap(order, limits.participation_max * volume, "participation")
        if limits.liquidity_max <= 1:
            self.cap(order, limits.liquidity_max * symbol.usual_volume, "liquidity")

    def cap(self, order, most, rule):
        left = max(abs(order.closing), most, 0.0)
        if left < abs(order.quantity):
            order.opening, order.rule = math.copysign(left, order.quantity) - order.closing, rule

    def sectors(self, orders, equity):
        most = self.params.risk.sector_gross_max * equity
        for sector in sorted({symbol.sector for symbol in self.symbols}):
            members = [(o, s) for o, s in zip(orders, self.symbols, strict=True) if s.sector == sector]
            used = running_sum([s.worst * s.dear for _, s in members if s.worst != 0])
            added = running_sum([abs(o.opening) * s.dear for o, s in members if o.opening != 0])
            if added and used + added > most:
                for order, _ in members:
                    if order.opening != 0:
                        order.opening, order.rule = max(most - used, 0.0) / added * order.opening, "sector_gross"

    def whole_book(self, orders, equity):
        limits = self.params.risk
        book = [(o, s) for o, s in zip(orders, self.symbols, strict=True) if s.quantity or s.buying or s.selling]
        gross = running_sum([s.worst * s.dear for _, s in book])
        pending = running_sum([(s.worst - abs(s.quantity)) * s.dear for _, s in book])
        net = running_sum([s.quantity * s.mark for _, s in book if s.quantity])
        bought, sold = running_sum([s.buying * s.dear for _, s in book]), running_sum([s.selling * s.dear for _, s in book])
        covers = running_sum([max(o.closing, 0.0) * s.dear for o, s in book])
        closes = running_sum([-min(o.closing, 0.0) * s.dear for o, s in book])
        buys = running_sum([o.opening * s.dear for o, s in zip(orders, self.symbols, strict=True) if o.opening > 0])
        sells = running_sum([-o.opening * s.dear for o, s in zip(orders, self.symbols, strict=True) if o.opening < 0])
        both, rule = fitted(1.0, "", gross, buys + sells, limits.market_gross_max * equity, "market_gross")
        gross, net = gross + self.other_gross, net + self.other_net
        bar = limits.volatility_max / math.sqrt(self.market.bars_a_year)
        calm, name = (bar / math.sqrt(self.variance), "volatility") if self.variance > bar * bar else (1.0, "gross")
        both, rule = fitted(both, rule, gross, both * (buys + sells), calm * limits.gross_max * equity, name)
        both, rule = fitted(both, rule, gross, both * (buys + sells), limits.leverage_max * equity, "leverage")
        buy, buy_rule = fitted(both, rule, net + (covers + bought + self.other_bought), both * buys, limits.net_max * equity, "net")
        sell, sell_rule = fitted(both, rule, (closes + sold + self.other_sold) - net, both * sells, limits.net_max * equity, "net")
        spendable = limits.buying_power_max * self.buying_power if limits.buying_power_max else 0.0
        for used, most, name in (
            (pending, spendable, "buying_power"),
            (covers + closes + bought + sold, limits.turnover_max * equity, "turnover"),
        ):
            added = buy * buys + sell * sells
            buy, buy_rule = fitted(buy, buy_rule, used, added, most, name)
            sell, sell_rule = fitted(sell, sell_rule, used, added, most, name)
        for order in orders:
            factor, rule = (buy, buy_rule) if order.quantity > 0 else (sell, sell_rule)
            if factor < 1 and order.opening != 0:
                order.opening, order.rule = factor * order.opening, rule

    def finish(self, order, symbol):
        if order.asked == 0 and order.quantity == 0:
            return
        order.reduces = order.closing != 0
        if order.quantity != symbol.closing:
            rounded = self.lots(order.quantity)
            order.closing, order.opening = rounded, 0.0
            if order.outcome != "forced" and rounded != 0 and abs(rounded) * symbol.dear < self.params.orders.notional_min:
                order.closing, order.rule = 0.0, "min_notional"
        if order.outcome != "forced" or order.quantity == 0:
            answer = "approved" if order.rule == "none" else "reduced"
            order.outcome = answer if order.quantity != 0 else "denied" if order.asked != 0 else "none"

    def count_out(self, orders):
        """Orders that reduce are counted first and always sent."""
        sending = [order for order in orders if order.quantity != 0]
        sent = self.sent + sum(order.reduces for order in sending)
        for order in sending:
            if order.reduces:
                continue
            if sent + 1 > self.params.risk.orders_max:
                order.closing, order.opening, order.rule, order.outcome = 0.0, 0.0, "order_rate", "denied"
            else:
                sent += 1


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
