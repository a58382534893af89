"""Invented identifiers that a check would pass, for the evaluation kit: check digits worked out, dates and places real, ways of
writing varied. In: a random generator. Out: a number as somebody of that country would write it.

The generator is written from the tables of the formats, not from the rules, so that it can tell what the rules miss.
"""

import itertools
from collections.abc import Callable, Sequence
from random import Random

from polyglot_lm.masking import checks

Maker = Callable[[Random], str]


def digits(rng: Random, count: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(count))


def written(rng: Random, groups: Sequence[str], separators: str) -> str:
    """Join groups by one of the separators; `_` stands for none."""
    return rng.choice(separators).replace("_", "").join(groups)


def fill(rng: Random, shape: str) -> str:
    """Put a digit for each `#` and a digit from 1 to 9 for each `N`."""
    return "".join(digits(rng, 1) if letter == "#" else rng.choice("123456789") if letter == "N" else letter for letter in shape)


def one_of(*shapes: str) -> Maker:
    return lambda rng: fill(rng, rng.choice(shapes))


def until(make: Maker, check: Callable[[str], bool]) -> Maker:
    """Draw until the check holds; check digits hold once in ten draws, so the bound is never met."""

    def maker(rng: Random) -> str:
        return next(found for found in (make(rng) for _ in range(10_000)) if check(found))

    return maker


def date(rng: Random) -> tuple[str, str, str]:
    return str(rng.randint(1940, 2012)), f"{rng.randint(1, 12):02d}", f"{rng.randint(1, 28):02d}"


def kr_rrn(rng: Random) -> str:
    year, month, day = date(rng)
    sex = rng.choice("1256" if year < "2000" else "3478")
    return written(rng, (year[2:] + month + day, sex + digits(rng, 6)), "----_ ")


def cn_rrn(rng: Random) -> str:
    year, month, day = date(rng)
    place = rng.choice(("110105", "310104", "440106", "510107", "330106", "420111"))
    body = place + year + month + day + digits(rng, 3)
    return next(body + last for last in "0123456789X" if checks.cn_resident(body + last))


def jp_rrn(rng: Random) -> str:
    number = until(one_of("############"), checks.jp_my_number)(rng)
    return written(rng, (number[:4], number[4:8], number[8:]), "__ -")


def id_rrn(rng: Random) -> str:
    year, month, day = date(rng)
    day = f"{int(day) + rng.choice((0, 40)):02d}"
    place = rng.choice(("3171", "3273", "3578", "1271", "5171", "7371"))
    return place + f"{rng.randint(1, 20):02d}" + day + month + year[2:] + f"{rng.randint(1, 99):04d}"


def my_rrn(rng: Random) -> str:
    year, month, day = date(rng)
    return written(rng, (year[2:] + month + day, f"{rng.randint(1, 16):02d}", digits(rng, 4)), "---_ ")


def vn_rrn(rng: Random) -> str:
    year, _, _ = date(rng)
    sex = rng.choice("01" if year < "2000" else "23")
    number = f"{rng.choice((1, 4, 24, 31, 48, 79, 92)):03d}{sex}{year[2:]}{digits(rng, 6)}"
    return written(rng, (number[:3], number[3:6], number[6:9], number[9:]), "____ ")


def th_rrn(rng: Random) -> str:
    number = until(lambda rng: rng.choice("1235") + digits(rng, 12), checks.th_pin)(rng)
    number = written(rng, (number[0], number[1:5], number[5:10], number[10:12], number[12]), "--_ ")
    return number if rng.random() < 0.9 else number.translate(str.maketrans("0123456789", "๐๑๒๓๔๕๖๗๘๙"))


def us_rrn(rng: Random) -> str:
    groups = f"{rng.choice((*range(1, 666), *range(667, 899))):03d}", f"{rng.randint(1, 99):02d}", f"{rng.randint(1, 9999):04d}"
    return written(rng, groups, "---_ ")


def card(rng: Random) -> str:
    start, groups = rng.choice(
        (("4", (4, 4, 4, 4)), ("5#", (4, 4, 4, 4)), ("37", (4, 6, 5)), ("62", (4, 4, 4, 4)), ("35", (4, 4, 4, 4)))
    )
    prefix = start.replace("#", rng.choice("12345"))
    number = until(lambda rng: prefix + digits(rng, sum(groups) - len(prefix)), lambda n: checks.luhn(n) and checks.card_issuer(n))(
        rng
    )
    places = [sum(groups[:count]) for count in range(len(groups) + 1)]
    return written(rng, [number[a:b] for a, b in itertools.pairwise(places)], "--  _")


def email(rng: Random) -> str:
    name = rng.choice(("minsu", "li.wei", "tanaka_y", "budi-s", "aminah", "nguyen.an", "somchai", "j.walker")) + rng.choice(
        ("", "77", "2024", ".kr")
    )
    domain = rng.choice(
        ("naver.com", "qq.com", "yahoo.co.jp", "gmail.com", "um.edu.my", "vnu.edu.vn", "kmutt.ac.th", "mail.go.kr", "163.com")
    )
    return f"{name}@{domain}"


def address(rng: Random) -> str:
    if rng.random() < 0.2:
        return "2400:cb00:" + ":".join(f"{rng.randint(1, 65535):x}" for _ in range(6))
    return f"{rng.choice((58, 61, 112, 121, 175, 203, 210))}.{rng.randint(40, 250)}.{rng.randint(1, 250)}.{rng.randint(1, 250)}"


def plan(region: str, *shapes: str) -> Maker:
    return until(one_of(*shapes), lambda number: checks.phone(number, region))


MAKERS: dict[str, dict[str, Maker]] = {
    "kr": {
        "rrn": kr_rrn,
        "tell": plan(
            "KR",
            "011-N##-####",
            "+82 2 N### ####",
            "1588-####",
            "0502-###-####",
            "(02)N###-####",
            "+82 (0)10 N### ####",
            "032.N##.####",
            "010-N###-####",
            "010 N### ####",
            "010.N###.####",
            "010N#######",
            "02-N##-####",
            "02-N###-####",
            "031-N##-####",
            "070-N###-####",
            "+82-10-N###-####",
            "+82 10 N### ####",
            "02) N##-####",
            "(051) N##-####",
            "０１０-N###-####",
        ),
        "acc": one_of(
            "###-####-####-##",
            "###-##-######",
            "110#########",
            "###-######-##-###",
            "110-###-######",
            "1002-###-######",
            "######-##-######",
            "302-####-####-##",
            "3333-##-#######",
            "###-######-##-###",
        ),
        "passport": one_of("M########", "M###A####", "S########"),
        "tax": lambda rng: written(
            rng, (lambda n: (n[:3], n[3:5], n[5:]))(until(one_of("N#########"), checks.kr_business)(rng)), "---_"
        ),
    },
    "cn": {
        "rrn": cn_rrn,
        "tell": plan(
            "CN",
            "177########",
            "+86-10-6#######",
            "0755 8#######",
            "+86 (21) 5### ####",
            "198 #### ####",
            "024-2#######",
            "138########",
            "159 #### ####",
            "186-####-####",
            "+86 139 #### ####",
            "+86137########",
            "010-6#######",
            "021-5#######",
            "(0755) 8#######",
            "0571-8#######",
            "400-8##-####",
        ),
        "acc": until(
            one_of(
                "6228 4800 #### #### ###",
                "4100##########",
                "9558############",
                "3100################",
                "6222############",
                "6217 #### #### #### ###",
                "0200##############",
                "4367 #### #### ####",
                "1100############",
            ),
            lambda number: not (checks.luhn(number) and checks.card_issuer(number)),  # that is a card, whatever it is called
        ),
        "passport": one_of("E########", "EA#######", "G########"),
        "tax": until(one_of("9111010#MA01######", "91310000#########X"), checks.cn_credit_code),
    },
    "jp": {
        "rrn": jp_rrn,
        "tell": plan(
            "JP",
            "0422-##-####",
            "+81(0)90-####-####",
            "0570-###-###",
            "(075)###-####",
            "050-####-####",
            "+81 6-6###-####",
            "090-####-####",
            "080-####-####",
            "070 #### ####",
            "090########",
            "03-N###-####",
            "06-6###-####",
            "(03) N###-####",
            "0120-###-###",
            "+81-90-####-####",
            "+81 3 N### ####",
            "０９０－####－####",
            "045-###-####",
        ),
        "acc": one_of("#######"),
        "passport": one_of("TK#######", "MZ#######", "TR#######"),
        "tax": until(one_of("N############"), checks.jp_corporate),
    },
    "id": {
        "rrn": id_rrn,
        "tell": plan(
            "ID",
            "0811-###-####",
            "+62-21-5######",
            "(0274) 5#####",
            "0822 #### ####",
            "+62 (0)813 #### ####",
            "0361-7#####",
            "0812-####-####",
            "0813########",
            "0857 #### ####",
            "+62 812-####-####",
            "+62856########",
            "(021) 5######",
            "021-7######",
            "0878-####-###",
            "62813########",
            "(022) 4######",
        ),
        "acc": one_of(
            "###-#######", "#### #### ####", "7#########", "N#########", "1##-##-#######-#", "0###01######5##", "N############"
        ),
        "passport": one_of("A#######", "X#######", "C#######"),
        "tax": one_of("0#.###.###.#-###.000", "0#############0"),
    },
    "my": {
        "rrn": my_rrn,
        "tell": plan(
            "MY",
            "07-### ####",
            "082-######",
            "1-300-88-####",
            "+603-#### ####",
            "016 ### ####",
            "+60 (0)19-### ####",
            "012-### ####",
            "013-#######",
            "011-#### ####",
            "019#######",
            "+60 12-### ####",
            "+6017#######",
            "03-N### ####",
            "03-N#######",
            "04-2## ####",
            "(03) 7### ####",
        ),
        "acc": one_of(
            "5###########",
            "7#############",
            "1############",
            "5140 #### ####",
            "1##########5",
            "31########",
            "8#########",
        ),
        "passport": one_of("A########", "H########", "K########"),
        "tax": one_of("SG##########", "IG###########", "OG##########"),
    },
    "vn": {
        "rrn": vn_rrn,
        "tell": plan(
            "VN",
            "0283 ### ####",
            "+84-24-3###-####",
            "032#######",
            "(0236) 3 ### ###",
            "+84 (0)91 ### ####",
            "0988-###-###",
            "1800 ####",
            "09########",
            "091 ### ####",
            "0903 ### ###",
            "0912.###.###",
            "038-###-####",
            "+84 90 ### ####",
            "+8498#######",
            "024 3### ####",
            "(028) 3### ####",
            "1900 ####",
        ),
        "acc": one_of(
            "060#########",
            "10##########",
            "0011##########",
            "1903##########",
            "2151##########",
            "19##############",
            "#### #### ####",
        ),
        "passport": one_of("B#######", "C#######", "P#######"),
        "tax": until(one_of("01########", "03########", "01########-001"), checks.vn_tax),
    },
    "th": {
        "rrn": th_rrn,
        "tell": plan(
            "TH",
            "+66(0)81-###-####",
            "038-###-###",
            "0 2### ####",
            "098 ### ####",
            "+66-2-###-####",
            "081-###-####",
            "089#######",
            "06# ### ####",
            "08-####-####",
            "+66 81 ### ####",
            "+6689#######",
            "02-###-####",
            "02 ### ####",
            "053-######",
            "๐๘๑-###-####",
            "0-2###-####",
        ),
        "acc": one_of("###-#-#####-#", "020#########", "###-#-#####-#", "##########", "###-######-#"),
        "passport": one_of("AA#######", "AB#######"),
        "tax": until(one_of("0105########N", "0 1055 ##### ## #"), checks.th_pin),
    },
    "us": {
        "rrn": us_rrn,
        "tell": plan(
            "US",
            "(212)N##-####",
            "+1 (917) N##-####",
            "800.2##.####",
            "404/N##-####",
            "1-646-N##-####",
            "(212) N##-####",
            "415-N##-####",
            "312.N##.####",
            "1-800-2##-####",
            "+1 617 N## ####",
            "+1-303-N##-####",
            "7139######",
            "1 (404) N##-####",
            "206 N## ####",
        ),
        "acc": one_of("#########", "###########", "########", "##########", "############", "N###-######"),
        "passport": one_of("#########", "A########"),
        "tax": one_of("NN-#######"),
    },
}
EVERYWHERE: dict[str, Maker] = {"card": card, "email": email, "ip": address}
