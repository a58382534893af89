"""Raw text to clean corpora: sources, cleaning, identification, deduplication, masking, split."""

from polyglot_lm.corpus.build import Split, build_corpus
from polyglot_lm.corpus.clean import Filters, Profile
from polyglot_lm.corpus.ingest import ingest

__all__ = ["Filters", "Profile", "Split", "build_corpus", "ingest"]
