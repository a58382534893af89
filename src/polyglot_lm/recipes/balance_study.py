from polyglot_lm.corpus.quality import Thresholds, lenient
from polyglot_lm.languages import Language


def open_door(language: Language) -> Thresholds:
    return lenient(
        language,
        min_chars=50,
        max_chars=400_000,
        min_letter_share=0.5,
        min_script_share=0.5,
        min_signature_share=0.05,
        min_language_confidence=0.3,
    )
