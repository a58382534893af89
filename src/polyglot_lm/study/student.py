"""Student's t: probability and quantile, for intervals over few seeds.

The tail is the regularised incomplete beta function, by its continued fraction (Press et al., Numerical Recipes, 6.4); scipy would
be a dependency of everybody for these forty lines, and is their twin in the tests.
"""

import math

TERMS, TINY = 1000, 1e-300


def two_sided_p(t: float, freedom: float) -> float:
    """Return the probability that |T| is at least |t|; `freedom` need not be whole, and infinite means the normal distribution."""
    if math.isinf(freedom):
        return math.erfc(abs(t) / math.sqrt(2))
    return incomplete_beta(freedom / (freedom + t * t), freedom / 2, 0.5)


def quantile(confidence: float, freedom: float) -> float:
    """Return the t that |T| stays below with this probability, by bisection."""
    low, high = 0.0, 1.0
    while two_sided_p(high, freedom) > 1 - confidence:
        high *= 2
    for _ in range(45):
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided_p(middle, freedom) > 1 - confidence else (low, middle)
    return high


def incomplete_beta(x: float, a: float, b: float) -> float:
    """Return I_x(a, b), the regularised incomplete beta function."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side
        return 1 - incomplete_beta(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    return front / a * beta_fraction(x, a, b)


def beta_fraction(x: float, a: float, b: float) -> float:
    """Return the continued fraction of the incomplete beta function, by Lentz's method."""
    ratio = 1.0
    value = inverse = 1 / (1 - (a + b) * x / (a + 1) or TINY)
    for m in range(1, TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            inverse = 1 / (1 + term * inverse or TINY)
            ratio = 1 + term / ratio or TINY
            value *= inverse * ratio
        if abs(inverse * ratio - 1) < 1e-14:
            return value
    return value
