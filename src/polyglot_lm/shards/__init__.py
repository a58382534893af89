"""Documents and tokens on disk: write, read, verify."""

from polyglot_lm.shards.documents import (
    QUARANTINE_SCHEMA,
    REMOVED_SCHEMA,
    SPLITS,
    DocumentWriter,
    part_path,
    read_documents,
    texts,
)
from polyglot_lm.shards.metrics import METRICS_FILE, Metrics, read_metrics
from polyglot_lm.shards.tokens import EncodedDocument, TokenDataset, Tokens, write_tokens

__all__ = [
    "METRICS_FILE",
    "QUARANTINE_SCHEMA",
    "REMOVED_SCHEMA",
    "SPLITS",
    "DocumentWriter",
    "EncodedDocument",
    "Metrics",
    "TokenDataset",
    "Tokens",
    "part_path",
    "read_documents",
    "read_metrics",
    "texts",
    "write_tokens",
]
