"""The special tokens of our tokenizers, in the order of their ids 0 to 63; bytes follow from 64.

Ids 0 to 3 are those of the released Polyglot-Ko tokenizer (EleutherAI/polyglot-ko-1.3b, tokenizer.json). Only the
encoder writes `<|endoftext|>` and only masking writes the tokens of personal information.
"""

NAMED = ("unused0", "unused1", "endoftext", "sep", "acc", "tell", "rrn", "card", "email", "ip", "passport", "tax")
NUM_SPECIAL = 64
SPECIAL_TOKENS = tuple(f"<|{name}|>" for name in (*NAMED, *(f"reserved{number}" for number in range(len(NAMED), NUM_SPECIAL))))
END = "<|endoftext|>"
END_ID = SPECIAL_TOKENS.index(END)
ALIASES = {"<|tell|>": "<|tel|>"}  # as the released Polyglot-Ko vocabulary spells it
PERSONAL_TOKENS = tuple(f"<|{name}|>" for name in NAMED[4:])
