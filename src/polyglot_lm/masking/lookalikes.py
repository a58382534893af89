"""What looks like an identifier and is none: dates, amounts, laws, orders, versions, ISBN, coordinates, tables, serial numbers.

In: a random generator. Out: one number as it stands in print. They fill the fields of the evaluation kit's sentences that are not
kinds of identifiers.
"""

from collections.abc import Sequence
from random import Random

from polyglot_lm.masking.numbers import Maker, digits, fill, one_of


def barcode(rng: Random, prefixes: Sequence[str]) -> str:
    body = rng.choice(prefixes)
    body += digits(rng, 12 - len(body))
    return body + str(-sum(int(letter) * (1 + 2 * (place % 2)) for place, letter in enumerate(body)) % 10)


def isbn(rng: Random) -> str:
    number = barcode(rng, ("9788", "9787", "9784", "9780"))
    return "-".join((number[:3], number[3:5], number[5:9], number[9:12], number[12])) if rng.random() < 0.7 else number


def day(rng: Random) -> str:
    sign = rng.choice("-./")
    return f"{rng.randint(1950, 2026)}{sign}{rng.randint(1, 12):02d}{sign}{rng.randint(1, 28):02d}"


def day_and_time(rng: Random) -> str:
    return f"{day(rng)} {rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}"


def law(rng: Random) -> str:
    year, congress = rng.randint(1980, 2025), rng.randint(90, 118)
    return rng.choice((digits(rng, 5), f"{rng.randint(1, 40)}/{year}", f"{congress}-{rng.randint(1, 400)}"))


def table(rng: Random) -> str:
    cells = (f"{rng.randint(0, 9_999_999):,}" if rng.random() < 0.5 else str(rng.randint(0, 99_999)) for _ in range(8))
    return " | ".join(cells)


LOOKALIKES: dict[str, Maker] = {
    "date": day,
    "datetime": day_and_time,
    "law": law,
    "amount": lambda rng: f"{rng.randint(10**6, 10**11):,}",
    "order": lambda rng: fill(rng, rng.choice(("###########", "##############", "20220918-######", "####-###-######"))),
    "version": lambda rng: ".".join(str(rng.randint(0, 30)) for _ in range(rng.choice((3, 4)))),
    "isbn": isbn,
    "ean": lambda rng: barcode(rng, ("880", "690", "490", "899", "955", "893", "885", "012")),
    "latitude": lambda rng: f"{rng.uniform(-90, 90):.7f}",
    "longitude": lambda rng: f"{rng.uniform(90, 180):.7f}",
    "product": one_of("AB-###-####", "X###-####-##", "###-####B"),
    "years": lambda rng: f"{rng.randint(1500, 1800)}-{rng.randint(1801, 1999)}",
    "table": table,
    "serial": one_of("C02########", "SN-####-####-####", "5CD#######", "ZX##-#######", "#N########K"),
    "hash": lambda rng: f"{rng.getrandbits(160):040x}"[: rng.choice((7, 12, 40))],
    "epoch": lambda rng: str(rng.randint(1_000_000_000, 1_800_000_000)) + rng.choice(("", "000", f".{digits(rng, 6)}")),
    "postcode": one_of("#####", "###-####", "######", "#####-####"),
    "count": lambda rng: rng.choice((str, "{:,}".format))(rng.randint(1_000, 9_999_999)),
    "doi": one_of("10.10##/j.jss.20##.0#.0##", "10.1###/s4####-0##-####-#", "arXiv:2###.#####"),
}
