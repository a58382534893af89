"""The corpus kernels are compiled together, since they take each other in (`pipeline.compiled` has the rules)."""

from pathlib import Path

from polyglot_lm.pipeline.compiled import Kernels

kernel = Kernels(sorted(Path(__file__).parent.glob("*.py")))
CACHE = kernel.cache
