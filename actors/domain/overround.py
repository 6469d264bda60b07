"""The bookmaker's margin: how large it is, and the probabilities that remain when it is taken out of the prices."""

import math
from collections.abc import Callable, Sequence
from typing import Literal, assert_never

from actors.domain.errors import MalformedMarket

Method = Literal["power", "shin", "proportional"]
METHODS: tuple[Method, ...] = ("power", "shin", "proportional")
MAX_ITERATIONS = 100  # bisection alone is at the last bit of a float after about 60

Curve = Callable[[float], tuple[float, float]]  # x -> value and slope


def overround(prices: Sequence[float], market: str = "market") -> float:
    """Return the book sum minus one: 0.05 is a 105 % book, below zero is an arbitrage.

    Raises:
        MalformedMarket: There are fewer than two prices, or one is not finite and above 1.

    >>> round(overround([2.7, 2.3, 4.4]), 4)
    0.0324
    """
    return math.fsum(_implied(prices, market)) - 1


def fair(prices: Sequence[float], method: Method = "power", market: str = "market") -> tuple[float, ...]:
    """Take the overround out of decimal prices of selections of which exactly one will win.

    Args:
        prices: One per selection, two or more; books below 100 % are taken too.
        method: `power` raises the inverse prices to one power, `shin` assumes a share of insiders, `proportional`
            divides by the book sum. Favourites end higher and outsiders lower by the first two.
        market: Named in the error.
    Returns:
        One probability per selection; they sum to 1.
    Raises:
        MalformedMarket: There are fewer than two prices, or one is not finite and above 1.
    Source: Clarke, Kovalchik and Ingram (2017), Am. J. Sports Sci. 5(6); Shin (1993), Econ. J. 103(420), as solved by
        Jullien and Salanie (1994), J. Risk Uncertainty 8.

    >>> [round(p, 4) for p in fair([2.7, 2.3, 4.4])]
    [0.3592, 0.4237, 0.2171]
    """
    implied = _implied(prices, market)
    match method:
        case "power":
            return _normalised(_power(implied))
        case "shin":
            return _normalised(_shin(implied))
        case "proportional":
            return _normalised(implied)
        case _:
            assert_never(method)


def _implied(prices: Sequence[float], market: str) -> list[float]:
    if len(prices) < 2:
        raise MalformedMarket(market, f"needs the prices of at least two selections, were {list(prices)}")
    if not all(1 < price < math.inf for price in prices):  # NaN fails too
        raise MalformedMarket(market, f"prices must be finite and above 1, were {list(prices)}")
    return [1 / price for price in prices]


def _normalised(shares: Sequence[float]) -> tuple[float, ...]:
    total = math.fsum(shares)
    return tuple(share / total for share in shares)


def _power(implied: Sequence[float]) -> list[float]:
    """Find k such that the inverse prices to the power of k sum to one, on the logarithm of the sum (nearly a line)."""
    logs = [math.log(share) for share in implied]

    def curve(k: float) -> tuple[float, float]:
        powers = [math.exp(k * log) for log in logs]
        total = math.fsum(powers)
        if total == 0:
            return -math.inf, -1.0
        return math.log(total), math.fsum(p * log for p, log in zip(powers, logs, strict=True)) / total

    many = math.log(len(logs))  # between all prices being the longest, and all the shortest
    k = _root(curve, many / -min(logs), many / -max(logs))
    return [math.exp(k * log) for log in logs]


def _shin(implied: Sequence[float]) -> list[float]:
    """Find the share z of insiders at which the probabilities sum to one; a book below 100 % has a negative one."""
    book = math.fsum(implied)
    shares = [share / math.sqrt(book) for share in implied]

    def curve(z: float) -> tuple[float, float]:
        ps = [_shin_probability(share, z) for share in shares]
        slopes = [p * (p - 1) / max(2 * (1 - z) * p + z, 5e-324) for p in ps]
        return math.fsum(ps) - 1, math.fsum(slopes)

    n, least = len(shares), min(shares) ** 2
    lowest = (least * n * n - 1) / (n - 1)  # there every probability is at least 1 / n
    z = _root(curve, min(lowest, 0.0), 1.0)
    return [_shin_probability(share, z) for share in shares]


def _shin_probability(share: float, z: float) -> float:
    """Solve (1 - z) p**2 + z p = share**2 for p >= 0, without cancellation on either side of z = 0."""
    root = math.sqrt(z * z + 4 * (1 - z) * share * share)
    if z <= 0:
        return (root - z) / (2 * (1 - z))
    return 2 * share * (share / (root + z))


def _root(curve: Curve, low: float, high: float) -> float:
    """Return where a falling curve crosses zero between `low` and `high`: Newton's steps, halving where they leave."""
    x = low
    for _ in range(MAX_ITERATIONS):
        value, slope = curve(x)
        if value > 0:
            low = x
        else:
            high = x
        step = x - value / slope if slope < 0 else math.nan
        following = step if low < step < high else (low + high) / 2
        if abs(following - x) <= 4e-16 * abs(x) or following == x:
            return following
        x = following
    return x
