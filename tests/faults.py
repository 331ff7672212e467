"""Faults: what can go wrong around a trader, and which test proves what happens then: `python -m tests.faults > docs/faults.md`.

Tests name the faults that they are about with `@pytest.mark.fault("F09")`; this module reads the marks and never runs the tests.
What no test names has its reason here: why it cannot occur, or what measured it.
"""

import ast
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "faults.md"

#: What goes wrong, in the order of where: the process, its disk, its clocks, bars, the broker, the market, the model, the limits.
CATALOGUE = {
    "F01": "the process is killed between any two steps",
    "F02": "it is killed while it reconciles, cancels, or changes its model",
    "F03": "it dies soon after every start, over and over",
    "F04": "it is told to end while something is under way",
    "F05": "it is suspended for minutes and goes on",
    "F06": "its loop is blocked",
    "F07": "it hangs and does not die",
    "F08": "a task of it fails",
    "F09": "the disk is full when an intent is written",
    "F10": "the disk is full when a fill is written",
    "F11": "the disk is full for logs alone",
    "F12": "somebody else holds the database",
    "F13": "the journal is damaged, cut or gone",
    "F14": "a power cut takes what was not on the disk yet",
    "F15": "an older copy of the journal is put back",
    "F16": "a second trader starts on the same account",
    "F17": "a second trader elsewhere has the same account",
    "F18": "a process that trades is copied",
    "F19": "memory or files grow for days",
    "F20": "an account of an older version is opened, or of a newer one",
    "F21": "the clock jumps",
    "F22": "summer time, other zones, year ends, leap days",
    "F23": "times with any number of digits, with Z or an offset",
    "F24": "two orders have one name",
    "F25": "a bar comes twice",
    "F26": "bars come out of order",
    "F27": "a symbol has no bar, or the feed has none",
    "F28": "a bar is corrected after it was decided upon",
    "F29": "a bar is told before it is over",
    "F30": "a bar comes late",
    "F31": "a price is no number",
    "F32": "a price is zero or below, a high below its low",
    "F33": "a price is a hundred times what it was",
    "F34": "a bar of no volume, made of quotes",
    "F35": "quotes that cross, or have one side",
    "F36": "the feed is connected and says nothing",
    "F37": "the feed repeats what is old",
    "F38": "the feed tells of the future",
    "F39": "the connection for data is lost",
    "F40": "the vendor limits, refuses or ends a subscription",
    "F41": "one message cannot be read",
    "F42": "messages come faster than they are taken",
    "F43": "a symbol has several names, or a name several companies",
    "F44": "a split overnight between training, history and live bars",
    "F45": "a page of history is missing, or comes again",
    "F46": "trained on one feed, traded on another",
    "F47": "an order is taken and its answer lost",
    "F48": "an order is lost on its way",
    "F49": "504 after an order was taken",
    "F50": "500, 502 and 503 with a body of HTML",
    "F51": "an answer that is cut, or has words nobody knows",
    "F52": "a fill is told before the order is acknowledged",
    "F53": "updates come out of order, or again",
    "F54": "the order stream is lost between two fills",
    "F55": "one update is lost on a connection that stands",
    "F56": "a cancel meets a fill",
    "F57": "a cancel of what has ended, or is unknown",
    "F58": "a cancel is never confirmed",
    "F59": "a replacement meets a fill",
    "F60": "a replacement is told before or after its original",
    "F61": "an order is refused at once",
    "F62": "an order is rejected later",
    "F63": "an order would meet one of our own",
    "F64": "too many requests",
    "F65": "the key is revoked",
    "F66": "the account is blocked",
    "F67": "positions lag behind orders at the broker",
    "F68": "a list is cut at its limit",
    "F69": "positions cannot be read, or are empty by mistake",
    "F70": "somebody trades the account by hand",
    "F71": "executions are told again much later",
    "F72": "an execution that cannot be",
    "F73": "a trade is busted or restated after it was booked",
    "F74": "states of orders that are rare, or new",
    "F75": "an order ages, expires, or has a time in force that its asset does not know",
    "F76": "a protective stop ends with its day",
    "F77": "both legs of a bracket are reached, or one is refused",
    "F78": "fees are paid in the asset, or later",
    "F79": "decimal quantities in binary",
    "F80": "shares are held for another order",
    "F81": "a short sale that is not allowed",
    "F82": "the order goes to another account",
    "F83": "a strategy orders without end",
    "F84": "a symbol is halted",
    "F85": "the whole market is halted",
    "F86": "half days, holidays, closures",
    "F87": "an auction's door is closed",
    "F88": "orders outside the regular session",
    "F89": "a split changes position and orders",
    "F90": "dividends, mergers, new symbols, delistings",
    "F91": "an asset ceases to be tradable",
    "F92": "a price gaps through a stop",
    "F93": "a margin call",
    "F94": "the registry or Prefect is gone",
    "F95": "a model's files were tampered with",
    "F96": "the champion's alias is moved to an older or another model",
    "F97": "features of another formula or order",
    "F98": "a model forecasts otherwise here than where it was trained",
    "F99": "a forecast is missing or no number",
    "F100": "a model says the same of everything",
    "F101": "a model takes too long",
    "F102": "the model changes while orders are open",
    "F103": "a model is trained on data that leaks or is poisoned",
    "F104": "parameters change under a running account, or cannot be read",
    "F105": "a parameter that means something else now",
    "F106": "processes of several versions",
    "F107": "a night begins twice",
    "F108": "a run that was given up goes on",
    "F109": "orders that each pass would break a limit together",
    "F110": "fills and cancels free a reservation twice, or never",
    "F111": "a loss without a feed that would tell of it",
    "F112": "a halt meets a restart",
    "F113": "nobody can tell whether the account is halted",
    "F114": "a halt's cancels fail in part",
    "F115": "an order that closes a position is refused",
    "F116": "closing meets a fill and turns the position around",
    "F117": "money is paid in or out",
    "F118": "a restart forgets the day's loss",
    "F119": "a limit in another unit, or of zero",
    "F120": "a limit that nothing enforces",
    "F121": "a picture of the trader that is older than the trader",
    "F122": "alerts cannot be delivered, or are too many",
}
REASONS = {
    "F18": "cannot occur: what trades starts no copy of itself",
    "F19": "measured, not tested: `benchmarks/execution/unattended.md`",
    "F76": "cannot occur: stops are the gate's own and not orders that rest at the broker",
    "F88": "cannot occur: bars outside the regular session open nothing, and the trader's orders are not for extended hours",
}


def marked() -> dict[str, list[str]]:
    """Return, by fault, the tests that are marked with it, as pytest names them."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                for fault in _marks(node):
                    found[fault].append(f"{path.relative_to(ROOT).as_posix()}::{node.name}")
    return dict(found)


def _marks(node: ast.FunctionDef) -> list[str]:
    calls = [each for each in node.decorator_list if isinstance(each, ast.Call) and ast.unparse(each.func) == "pytest.mark.fault"]
    return [str(argument.value) for call in calls for argument in call.args if isinstance(argument, ast.Constant)]


def page() -> str:
    """Return the page."""
    found = marked()
    lines = [
        "# What can go wrong, and what proves what happens then",
        "",
        f"{len(CATALOGUE)} faults: {len(found)} have tests, {len(REASONS)} cannot occur or are measured.",
        "Made of the marks of the tests by `python -m tests.faults`; a test holds the page to them.",
        "",
        "| | what goes wrong | tests, or why there are none |",
        "|---|---|---|",
    ]
    for fault, words in CATALOGUE.items():
        told = "<br>".join(f"`{name}`" for name in found.get(fault, [])) or REASONS.get(fault, "")
        lines.append(f"| {fault} | {words} | {told} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
