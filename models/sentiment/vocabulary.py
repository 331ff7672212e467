"""Vocabulary: what words and phrases of financial headlines mean, written for this house.

Weights say how far one word alone moves a reader: 1.5 beyond doubt, 1 clearly, 0.5 a little. Direction words mean what their
subject makes of them: rising profit is good, rising debt is not.
"""


def _weighted(weight: float, text: str) -> dict[tuple[str, ...], float]:
    """Return the phrases of a text, one a line or parted by commas, with their weight."""
    return {tuple(phrase.split()): weight for phrase in text.replace("\n", ",").split(",") if phrase.strip()}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


GOOD = {
    **_weighted(1.5, """
        record profit, record profits, record revenue, record sales, record quarter, record earnings, record high
        all-time high, beats expectations, beat expectations, beats estimates, beat estimates, tops estimates, top estimates
        tops expectations, topped estimates, topped expectations, above estimates, above expectations, better than expected
        better-than-expected, raises guidance, raised guidance, raises outlook, raised outlook, raises its outlook
        raises forecast, raised forecast, lifts outlook, lifts forecast, upgrade, upgrades, upgraded, upgraded to buy
        strong buy, swings to profit, swung to profit, turns profitable, turned profitable, returns to profit
        returned to profit, back to profit, blockbuster, blowout, stellar, fda approves, fda approval, fda clears
        wins approval, wins fda approval, meets primary endpoint, met primary endpoint, breakthrough, beats on, eps beat
        revenue beat, turned to profit, turns to profit
    """),
    **_weighted(1.0, """
        beat, beats, beating, outperform, outperforms, outperformed, outperforming, overweight, bullish, bull, bulls
        buy rating, surge, surges, surged, surging, soar, soars, soared, soaring, rally, rallies, rallied, rallying, jump
        jumps, jumped, jumping, skyrocket, skyrockets, skyrocketed, zoom, zooms, zoomed, spurt, spurts, spurted, rocket
        rockets, rocketed, leap, leaps, leapt, rebound, rebounds, rebounded, rebounding, recover, recovers, recovered, recovery
        revival, revive, revives, bounce, bounces, bounced, profitable, profitability, gain, gains, gained, gainer, gainers
        upbeat, optimistic, optimism, confident, confidence, cheer, cheers, cheered, strong, stronger, strongest, strength
        robust, solid, healthy, impressive, excellent, outstanding, superb, favorable, favourable, win, wins, won, winning
        winner, winners, award, awards, awarded, bag, bags, bagged, secures, secured, clinch, clinches, clinched, approval
        approve, approves, approved, clears, cleared, authorized, breakthrough, success, successful, successfully, succeeds
        boost, boosts, boosted, boosting, expand, expands, expanded, expansion, grow, grows, grew, growing, growth, accelerate
        accelerates, accelerated, improve, improves, improved, improving, improvement, improvements, enhance, enhances
        enhanced, strengthen, strengthens, strengthened, strengthening, buyback, buybacks, share repurchase, repurchase
        repurchases, special dividend, hikes dividend, raises dividend, dividend increase, dividend hike, ups dividend
        boosts dividend, increases dividend, initiates dividend, bonus issue, large buyer, higher
        highest, 52-week high, 52-week highs, new high, new highs, multi-year high, exceeds, exceed, exceeded, surpass
        surpasses, surpassed, positive, attractive, undervalued, breakout, upside, opportunity, opportunities, advantage
        momentum, lucrative, top pick, accumulate, synergies, synergy, savings, cost savings, efficiency, partnership
        partners with, teams up, innovation, innovative, milestone, flagship, lead, leader, leading, shine, shines, glitter
        glitters, glittering, outpace, outpaces, outpaced, thrive, thrives, prosper, boom, booming, booms, buoyant, buoyed
        resolves, resolved, settles lawsuit, debt free, debt-free, investment grade, reaffirms buy, maintains buy, buy on dips
        buy, initiates coverage on at buy, initiated at buy, initiated at outperform, initiated at overweight
        price target raised, target raised, narrows loss, narrowed loss, loss narrows, loss narrowed, losses narrowed
        ahead of estimates, ahead of expectations
    """),
    **_weighted(0.5, """
        buys, long, add, adds, top, tops, good, great, best, better, benefit, benefits, benefited, efficient, popular, demand
        launch, launches, launched, unveils, introduces, signs, signed, agreement, order, orders, cooperation
        collaboration, support, supports, supported, stable, stabilize, stabilizes, stabilise, steady, eases, ease, easing
        relief, hope, hopes, hopeful, ahead, expects growth, reward, rewards, rewarding, dividend, upswing, uptrend, uptick
        firm, firms up, edges up, inches up, ticks up, advance, advances, advanced, ipo success, oversubscribed
        outlook positive, modernize, award-winning, invest, invests, capacity expansion, new plant, green, safe haven, cheap
        buy on, bet, bets, bet on, good bet, good bets, look good, pick, picks, like, likes, prefer, prefers, peak, peaks
        beneficiary, pay off, paying off, supportive, hits high, high, highs, delivers, delivered, completes, completed
        doubled, doubles, double, tripled, triples, triple
    """),
}  # fmt: skip

BAD = {
    **_weighted(-1.5, """
        bankruptcy, bankrupt, chapter 11, files for bankruptcy, insolvency, insolvent, fraud, fraudulent, ponzi, scandal
        default, defaults, defaulted, misses expectations, missed expectations, misses estimates, missed estimates
        below estimates, below expectations, worse than expected, worse-than-expected, weaker-than-expected, profit warning
        cuts guidance, cut guidance, cuts outlook, cut outlook, cuts its outlook, lowers guidance, lowered guidance
        lowers outlook, lowered outlook, cuts forecast, cut forecast, lowers forecast, slashes forecast, withdraws guidance
        downgrade, downgrades, downgraded, swings to loss, swung to loss, slips into loss, slipped into loss, crash, crashes
        crashed, collapse, collapses, collapsed, plunge, plunges, plunged, plunging, plummet, plummets, plummeted, plummeting
        tank, tanks, tanked, tumble, tumbles, tumbled, tumbling, nosedive, nosedives, nosedived, meltdown, bloodbath, delisting
        delisted, going concern, accounting irregularities, restates, restatement, data breach, hacked, indicted, guilty
        eps miss, revenue miss, fails to meet, failed to meet, complete response letter, clinical hold, record low
        all-time low, turned to loss, turns to loss
    """),
    **_weighted(-1.0, """
        miss, misses, missed, missing, loss, losses, lose, loses, lost, losing, loser, losers, loss-making, underperform
        underperforms, underperformed, underweight, bearish, bear, bears, sell rating, sell-off, selloff, sell, large seller
        slump, slumps, slumped, slumping, slide, slides, slid, sliding, sink, sinks, sank, sinking, skid, skids, skidded, drag
        drags, dragged, dragging, drags down, weigh, weighs, weighed, hit by, hurt, hurts, hurting, dent, dents, dented, warn
        warns, warned, warning, warnings, caution, cautious, cautions, concern, concerns, concerned, worry, worries, worried
        worrying, fear, fears, feared, weak, weaker, weakest, weakness, weaken, weakens, weakened, weakening, poor, disappoint
        disappoints, disappointed, disappointing, disappointment, dismal, bleak, gloomy, grim, sluggish, decline, declines
        declined, declining, deteriorate, deteriorates, deteriorated, deteriorating, deterioration, contraction
        contracts sharply, recession, downturn, slowdown, slow down, slows, slowed, slowing, layoff, layoffs, lay off, lays off
        laid off, job cuts, cut jobs, cuts jobs, redundancies, dismiss, dismissed, dismissals, fires, fired, strike, strikes
        shutdown, shut down, shuts, closure, closures, close down, closing down, lawsuit, lawsuits, sue, sues, sued, litigation
        probe, probes, probed, investigation, investigations, investigates, investigated, subpoena, fine, fined, fines, penalty
        penalties, antitrust, recall, recalls, recalled, halt, halts, halted, suspend, suspends, suspended, suspension, delay
        delays, delayed, cancel, cancels, cancelled, canceled, scrap, scraps, scrapped, reject, rejects, rejected, terminate
        terminates, terminated, fail, fails, failed, failure, failing, trouble, troubled, troubles, crisis, turmoil, panic
        threat, threatens, threatened, risk, risks, risky, impairment, write-down, writedown, write-off, writeoff, charge
        restructuring charge, dilution, offering priced, cuts dividend, cut dividend, suspends dividend, slashes dividend
        dividend cut, avoid, lower, lowest, 52-week low, 52-week lows, new low, new lows, multi-year low, overvalued
        overbought, downside, downtrend, negative, pessimistic, pessimism, unfavorable, unfavourable, shortfall, shortage
        shortages, glut, oversupply, bubble, tariff, tariffs, sanctions, sanction, trade war, boycott, ban, bans, banned
        outage, accident, explosion, spill, breach, cyberattack, price target cut, price target lowered, target cut
        initiated at sell, initiated at underperform, reduces stake, book profits, profit booking, profit-taking, profit taking
        falls short, fell short, short of expectations, behind schedule, resigns, resigned, ousted, steps down, short seller
        allegations, alleged, alleges, accused, accuses, pulled back, wipes out, wiped out, erodes, eroded, erosion, pressure
        pressured, pressures, bad loans, npas, npa, volatile, volatility, setback, setbacks, stumble, stumbles, stumbled
    """),
    **_weighted(-0.5, """
        stay away, wary, low, lows, cools, cooled, drain, exit, short, bad, worse, worst, hard, tough, difficult, difficulties
        challenge, challenges, challenging, uncertain, uncertainty, doubt, doubts, dispute, disputes, conflict, tension
        tensions, debt, burden, burdens, costly, expensive, struggle, struggles, struggled, struggling, lag, lags, lagged
        lagging, lacklustre, lackluster, subdued, muted, tepid, soft, softer, dip, dips, dipped, ease off, edges down
        inches down, ticks down, retreat, retreats, retreated, pare, pares, pared, trim, trims, trimmed, red, negative outlook
        hold off, divest, divests, temporary, temporarily, personnel reduction, adjustment, negotiations with personnel, less
        no longer, despite, victim, flat, unchanged
    """),
}  # fmt: skip

PHRASES: dict[tuple[str, ...], float] = {**GOOD, **BAD}

UP = _words("""
    bigger climb climbed climbing climbs escalate escalated escalates hike hiked hikes increase increased increases increasing
    larger lift lifted lifting lifts more raise raised raises raising rise risen rises rising rose spike spiked spikes swell
    swelled swells up upped ups widen widened widening widens
""")  # fmt: skip

DOWN = _words("""
    cut cuts cutting decrease decreased decreases decreasing diminish diminished diminishes down drop dropped dropping drops
    fall fallen falling falls fell fewer halved halves lowered lowering lowers narrow narrowed narrowing narrows reduce reduced
    reduces reducing reduction shed sheds shrank shrink shrinking shrinks slash slashed slashes slip slipped slipping slips
    smaller
""")  # fmt: skip

#: What it is good to have more of.
WELCOME = _words("""
    backlog bookings capacity cash crude deliveries demand dividend dividends dollar dow earnings ebit ebitda employees eps
    estimate estimates euro exports forecast forecasts futures fy gdp gold growth guidance income index indices jobs margin
    margins market markets nasdaq net nifty oil order orders outlook output pc pct percent personnel pretax price prices
    production profit profitability profits q1 q2 q3 q4 rating ratings results revenue revenues rupee s&p sales sensex share
    shares silver staff stake stock stocks subscribers target targets traffic turnover users value view volume volumes workforce
""")  # fmt: skip

#: What it is good to have less of.
UNWELCOME = _words("""
    accidents charges churn claims complaints cost costs debt debts defaults deficit delinquencies emissions expense expenses
    fees impairments inflation inventories jobless leverage liabilities loss losses npa npas provisions recalls risk risks
    shortage spending tariffs tax taxes unemployment vix volatility
""")  # fmt: skip

NEGATORS = _words("""
    aren't averted averts avoided avoids can't cannot denied denies deny didn't doesn't don't hardly isn't neither never no nor
    not prevents unlikely wasn't weren't without won't
""")  # fmt: skip
STRONGER = _words("""
    best big biggest clearly considerably deep deeply dramatically heavily highly huge hugely massive massively much record
    sharp sharply significantly steep steeply strongly substantially very worst
""")  # fmt: skip
WEAKER = _words("""
    a-bit could little marginally may might mildly minor modestly partly possible possibly potential potentially slightly
    somewhat
""")  # fmt: skip
