"""`python -m polyglot_lm.cli`."""

from polyglot_lm.cli import main

main()
