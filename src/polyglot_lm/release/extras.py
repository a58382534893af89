"""Libraries that only some exports need, and what to type when one is not there."""

import importlib
from typing import Any

from polyglot_lm.pipeline import UserError


def required(library: str, extra: str = "release") -> Any:
    """Import a library of an extra; raises UserError with the command that installs it."""
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise UserError(f"this needs {library}; install it with pip install 'polyglot-lm[{extra}]'") from error
