"""What can be verified of a number: check digits, dates, places, numbering plans. Each check takes a hit in plain characters.

A check is evidence of a stated strength: a check digit is hard to meet by chance (1 in 10 or 11), a date or a numbering plan
less so. Sources: python-stdnum's documentation for the algorithms, ITU plans by way of the `phonenumbers` package, ISO 7064.
"""

import functools
import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Literal

Check = Callable[[str], bool]
Strength = Literal["checksum", "plan", "structure", "shape"]
DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
NOBODY = re.compile(
    r"(?:^|\.)(?:"
    r"(?:example|your|my)[a-z]*\.[a-z.]+|(?:contoso|fabrikam|domain|company|host|email|test|x+|foo|bar)(?:\.onmicrosoft)?\.[a-z.]+"
    r"|example|test|invalid|localhost|local|service|socket|target|timer|mount"
    r")$",
    re.IGNORECASE,
)


PLACEHOLDER = re.compile(r"^(?:git|e?-?mail|your[._-]?(?:name|e?mail)|user(?:name)?|someone|somebody)$|x{4}")


def digits(hit: str) -> list[int]:
    return [int(letter) for letter in hit if letter in "0123456789"]


def is_day(month: int, day: int) -> bool:
    return 1 <= month <= 12 and 1 <= day <= DAYS_IN_MONTH[month - 1]


def weighted(numbers: list[int], weights: Iterable[str | int]) -> int:
    return sum(number * int(weight) for number, weight in zip(numbers, weights, strict=False))


def kr_date(hit: str) -> bool:
    found = digits(hit)
    return is_day(found[2] * 10 + found[3], found[4] * 10 + found[5])


def kr_rrn(hit: str) -> bool:
    """Numbers issued from October 2020 have random digits here, so this is evidence and never asked for."""
    found = digits(hit)
    return (11 - weighted(found, "234567892345") % 11) % 10 == found[12]


def kr_business(hit: str) -> bool:
    found = digits(hit)
    return (10 - (weighted(found, "137137135") + found[8] * 5 // 10) % 10) % 10 == found[9]


def cn_date(hit: str) -> bool:
    found = "".join(map(str, digits(hit)))
    return 1900 <= int(found[6:10]) <= 2049 and is_day(int(found[10:12]), int(found[12:14]))


def cn_resident(hit: str) -> bool:
    """ISO 7064 MOD 11-2."""
    found = [10 if letter in "Xx" else int(letter) for letter in hit if letter in "0123456789Xx"]
    return len(found) == 18 and sum(number * pow(2, 17 - place, 11) for place, number in enumerate(found)) % 11 == 1


def cn_credit_code(hit: str) -> bool:
    """Unified social credit code, mod 31 (GB 32100-2015)."""
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    values = [alphabet.find(letter) for letter in hit]
    total = sum(value * pow(3, place, 31) for place, value in enumerate(values[:17]))
    return min(values) >= 0 and (31 - total % 31) % 31 == values[17]


def jp_my_number(hit: str) -> bool:
    found = digits(hit)
    rest = weighted(found, "65432765432") % 11
    return found[11] == (0 if rest <= 1 else 11 - rest)


def jp_corporate(hit: str) -> bool:
    found = digits(hit)
    return found[0] == 9 - sum(number * (1 + place % 2) for place, number in enumerate(reversed(found[1:]))) % 9


def id_date_place(hit: str) -> bool:
    found = "".join(map(str, digits(hit)))
    places = (*range(11, 20), 21, *range(31, 37), *range(51, 54), *range(61, 66), *range(71, 77), 81, 82, *range(91, 98))
    return int(found[:2]) in places and is_day(int(found[8:10]), int(found[6:8]) % 40)


def my_date_place(hit: str) -> bool:
    found = "".join(map(str, digits(hit)))
    place = int(found[6:8])
    return kr_date(hit) and place not in (0, 17, 18, 19, 20, 69, 70, 73, 80, 81) and place <= 99


def vn_province_century(hit: str) -> bool:
    found = "".join(map(str, digits(hit)))
    return 1 <= int(found[:3]) <= 96 and found[3] in "0123"


def vn_tax(hit: str) -> bool:
    found = digits(hit)
    weights = (31, 29, 23, 19, 17, 13, 7, 5, 3)
    return 10 - sum(number * weight for number, weight in zip(found, weights, strict=False)) % 11 == found[9]


def th_pin(hit: str) -> bool:
    found = digits(hit)
    return (11 - weighted(found, range(13, 1, -1)) % 11) % 10 == found[12]


def us_ssn(hit: str) -> bool:
    found = "".join(map(str, digits(hit)))
    area, group, serial = found[:3], found[3:5], found[5:]
    if area[0] == "9":  # an ITIN
        return int(group) in (*range(50, 66), *range(70, 89), 90, 91, 92, *range(94, 100)) and serial != "0000"
    return area not in ("000", "666") and group != "00" and serial != "0000" and found not in ("078051120", "123456789")


def us_routing(hit: str) -> bool:
    return weighted(digits(hit), "371371371") % 10 == 0


def luhn(hit: str) -> bool:
    found = digits(hit)
    doubled = (2 * number - 9 * (number > 4) for number in found[-2::-2])
    return (sum(found[-1::-2]) + sum(doubled)) % 10 == 0 and len(set(found)) > 1


def card_issuer(hit: str) -> bool:
    """The issuer's first digits and the length fit (ISO/IEC 7812)."""
    found = "".join(map(str, digits(hit)))
    shapes = (
        (r"4", (13, 16, 19)),
        (r"5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)", (16,)),
        (r"3[47]", (15,)),
        (r"3(?:0[0-5]|[689])", (14, 16)),
        (r"6011|64[4-9]|65|35(?:2[89]|[3-8])", (16,)),
        (r"62|9[0-9]", (16, 17, 18, 19)),
    )
    return any(len(found) in lengths and re.match(start, found) for start, lengths in shapes)


def barcode(hit: str) -> bool:
    """An ISBN-13, or an EAN-13 of one of the eight countries (GS1 prefixes), with a right check digit: evidence *against*."""
    found = digits(hit)
    known = hit.isdigit() and hit.startswith(("880", "885", "69", "45", "49", "893", "899", "955", "978", "979"))
    return known and len(found) == 13 and sum(n * (1 + 2 * (place % 2)) for place, n in enumerate(found)) % 10 == 0


def public_address(hit: str) -> bool:
    """A routable address of a host: private, documentation and network addresses and those everybody writes name nobody."""
    known = ("8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "1.2.3.4", "9.9.9.9", "114.114.114.114")
    try:
        address = ipaddress.ip_address(hit)
    except ValueError:
        return False
    given_out = address.version == 4 or hit[0] in "23"  # 2000::/3 is all of IPv6 that is in use
    return address.is_global and given_out and hit not in known and not hit.endswith((".0", "::0", "::"))


def no_version(hit: str) -> bool:
    """4.46.0.60 and 11.5.1.2 are more often versions: the first number is small, one is 0, or most are small."""
    parts = [int(part) for part in hit.split(".")]
    return parts[0] > 20 and 0 not in parts and sum(part > 31 for part in parts) >= 2


def mailbox(hit: str) -> bool:
    """No domain that is reserved (RFC 2606) or stands for any, no unit of systemd, no name that is a placeholder."""
    name, _, domain = hit.partition("@")
    return not NOBODY.search(domain) and not PLACEHOLDER.search(name.lower()) and ".." not in hit


def no_span_of_years(hit: str) -> bool:
    """1588-1234 is a number to call, 1592-1598 a war and 1762-1836 a life."""
    found = re.split(r"\D+", hit)
    return len(found) != 2 or not int(found[0]) < int(found[1]) <= 2100


def num_digits_between(hit: str, *, least: int, most: int) -> bool:
    return least <= len(digits(hit)) <= most


def no_ipv4(hit: str) -> bool:
    return not re.fullmatch(r"\d{1,3}(?:\.\d{1,3}){3}", hit)


def no_date(hit: str) -> bool:
    return not re.match(
        r"(?:19|20|25)\d\d(?:([-. ])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])|(?:0[1-9]|1[0-2])[0-3]\d)(?!\d)", hit
    )


def no_repeat(hit: str) -> bool:
    """0000000000 and 1234567890 are filler."""
    return len(set(digits(hit))) > 1 and hit not in "01234567890123456789"


@functools.lru_cache(maxsize=1 << 16)
def phone(hit: str, region: str) -> bool:
    """The numbering plan of a country (empty: that of the country code written) has such numbers."""
    import phonenumbers

    try:
        number = phonenumbers.parse(hit, region or None)
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_valid_number(number))


NAMED: dict[str, tuple[Strength, Check]] = {
    "kr_date": ("structure", kr_date),
    "kr_rrn": ("checksum", kr_rrn),
    "kr_business": ("checksum", kr_business),
    "cn_date": ("structure", cn_date),
    "cn_resident": ("checksum", cn_resident),
    "cn_credit_code": ("checksum", cn_credit_code),
    "jp_my_number": ("checksum", jp_my_number),
    "jp_corporate": ("checksum", jp_corporate),
    "id_date_place": ("structure", id_date_place),
    "my_date_place": ("structure", my_date_place),
    "vn_province_century": ("structure", vn_province_century),
    "vn_tax": ("checksum", vn_tax),
    "th_pin": ("checksum", th_pin),
    "us_ssn": ("structure", us_ssn),
    "us_routing": ("checksum", us_routing),
    "luhn": ("checksum", luhn),
    "card_issuer": ("shape", card_issuer),
    "public_address": ("structure", public_address),
    "no_version": ("shape", no_version),
    "mailbox": ("structure", mailbox),
    "no_span_of_years": ("shape", no_span_of_years),
    "no_date": ("shape", no_date),
    "no_ipv4": ("shape", no_ipv4),
    "no_repeat": ("shape", no_repeat),
    "separated": ("shape", lambda hit: not hit.isalnum()),
    "no_barcode": ("shape", lambda hit: not barcode(hit)),
}


def named(name: str) -> tuple[Strength, Check]:
    """Look a check up; `phone:KR` asks Korea's numbering plan, `digits:10-14` counts. Raises KeyError for an unknown name."""
    if name.startswith("phone:"):
        return "plan", functools.partial(phone, region=name.removeprefix("phone:"))
    if name.startswith("digits:"):
        least, _, most = name.removeprefix("digits:").partition("-")
        return "shape", functools.partial(num_digits_between, least=int(least), most=int(most))
    return NAMED[name]
