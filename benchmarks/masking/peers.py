"""What other maskers make of the same texts; run inside the environment that `run.py` builds.

In, a JSON object a line: {"text", "language", "country"}. Out, a line each: [[start, end, kind], ...], and last {"cpu_seconds"}.
Presidio has its recognisers for the eight countries switched on and is told the text's country for telephones; its language model
is a blank one of spaCy, since its trained ones find names, which nobody is asked for here.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping

Span = tuple[int, int, str]
KINDS = {
    "EMAIL_ADDRESS": "email",
    "CREDIT_CARD": "card",
    "IP_ADDRESS": "ip",
    "PHONE_NUMBER": "tell",
    "US_SSN": "rrn",
    "US_ITIN": "rrn",
    "KR_RRN": "rrn",
    "KR_FRN": "rrn",
    "TH_TNIN": "rrn",
    "US_BANK_NUMBER": "acc",
    "ABA_ROUTING_NUMBER": "acc",
    "US_PASSPORT": "passport",
    "KR_PASSPORT": "passport",
    "KR_BRN": "tax",
}
KOREAN_KINDS = {
    "rrn": "rrn",
    "frn": "rrn",
    "phone": "tell",
    "card": "card",
    "email": "email",
    "account": "acc",
    "passport": "passport",
}
LANGUAGES = {"kr": "ko", "cn": "zh", "jp": "ja", "id": "id", "my": "ms", "vn": "vi", "th": "th", "us": "en"}


def presidio() -> Callable[[Mapping[str, str]], list[Span]]:
    import spacy
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer import predefined_recognizers as known
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    class BlankEngine(SpacyNlpEngine):
        def __init__(self) -> None:
            super().__init__(models=[{"lang_code": code, "model_name": "blank"} for code in LANGUAGES.values()])
            self.nlp = {code: spacy.blank("xx") for code in LANGUAGES.values()}

    names = {
        "en": ("UsSsnRecognizer", "UsItinRecognizer", "UsBankRecognizer", "UsPassportRecognizer", "AbaRoutingRecognizer"),
        "ko": ("KrRrnRecognizer", "KrFrnRecognizer", "KrBrnRecognizer", "KrPassportRecognizer"),
        "th": ("ThTninRecognizer",),
    }
    registry = RecognizerRegistry(recognizers=[], supported_languages=list(LANGUAGES.values()))
    for country, code in LANGUAGES.items():
        for name in ("EmailRecognizer", "CreditCardRecognizer", "IpRecognizer", *names.get(code, ())):
            registry.add_recognizer(getattr(known, name)(supported_language=code))
        registry.add_recognizer(known.PhoneRecognizer(supported_language=code, supported_regions=[country.upper()]))
    engine = AnalyzerEngine(registry=registry, nlp_engine=BlankEngine(), supported_languages=list(LANGUAGES.values()))

    def find(item: Mapping[str, str]) -> list[Span]:
        found = engine.analyze(text=item["text"], language=item["language"])
        return [(hit.start, hit.end, KINDS[hit.entity_type]) for hit in found if hit.entity_type in KINDS]

    return find


def korean_pii() -> Callable[[Mapping[str, str]], list[Span]]:
    from korean_pii import detect

    return lambda item: [(hit.start, hit.end, KOREAN_KINDS.get(hit.type, hit.type)) for hit in detect(item["text"])]


def datatrove() -> Callable[[Mapping[str, str]], list[Span]]:
    from datatrove.pipeline.formatters import PIIFormatter

    formatter = PIIFormatter()
    replacers = (("email", formatter.emails_replacer), ("ip", formatter.ip_replacer))

    def find(item: Mapping[str, str]) -> list[Span]:
        return [
            (match.start(), match.end(), kind)
            for kind, replacer in replacers
            for match in replacer.regex.finditer(item["text"])
            if replacer.validator is None or replacer.validator(match.group())
        ]

    return find


def main() -> None:
    find = {"presidio": presidio, "korean_pii": korean_pii, "datatrove": datatrove}[sys.argv[1]]()
    items = [json.loads(line) for line in sys.stdin]
    start = time.process_time()
    for item in items:
        print(json.dumps(find(item)))
    print(json.dumps({"cpu_seconds": time.process_time() - start}))


if __name__ == "__main__":
    main()
