"""Personal information: rules by country, and the engine that replaces it by tokens."""

from polyglot_lm.masking.engine import Masked, Span, check_kinds, mask
from polyglot_lm.masking.records import report_key, span_records
from polyglot_lm.masking.rules import KINDS, TOKENS, countries_with_rules, rules

__all__ = [
    "KINDS",
    "TOKENS",
    "Masked",
    "Span",
    "check_kinds",
    "countries_with_rules",
    "mask",
    "report_key",
    "rules",
    "span_records",
]
