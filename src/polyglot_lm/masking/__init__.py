"""Personal information: rules by country, and the engine that replaces it by tokens."""

from polyglot_lm.masking.engine import TOKENS, countries_with_rules, mask, rules

__all__ = ["TOKENS", "countries_with_rules", "mask", "rules"]
