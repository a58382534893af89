"""Raw text to clean corpora: sources, scores, thresholds, deduplication, split, masking."""
