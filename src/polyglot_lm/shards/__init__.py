"""Documents and tokens on disk: write, read, verify."""

from polyglot_lm.shards.documents import (
    DOCUMENT_SCHEMA,
    QUARANTINE_SCHEMA,
    REASON,
    SCORE,
    SPLITS,
    DocumentWriter,
    count_documents,
    count_text_bytes,
    part_path,
    read_columns,
    read_documents,
    require_documents,
    texts,
)
from polyglot_lm.shards.metrics import METRICS_FILE, Metrics, read_metrics
from polyglot_lm.shards.tokens import EncodedDocument, TokenDataset, Tokens, describe_tokens, shard_path, write_shard, write_tokens

__all__ = [
    "DOCUMENT_SCHEMA",
    "METRICS_FILE",
    "QUARANTINE_SCHEMA",
    "REASON",
    "SCORE",
    "SPLITS",
    "DocumentWriter",
    "EncodedDocument",
    "Metrics",
    "TokenDataset",
    "Tokens",
    "count_documents",
    "count_text_bytes",
    "describe_tokens",
    "part_path",
    "read_columns",
    "read_documents",
    "read_metrics",
    "require_documents",
    "shard_path",
    "texts",
    "write_shard",
    "write_tokens",
]
