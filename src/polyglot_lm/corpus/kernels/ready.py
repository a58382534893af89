"""Compile every kernel before workers start: 20 s of one core once, instead of once in each worker at the same time."""

import numpy as np

from polyglot_lm.corpus.kernels.batch import TextBatch, read_only
from polyglot_lm.corpus.kernels.compiled import CACHE
from polyglot_lm.corpus.kernels.lsh import Components, group, verified_edges
from polyglot_lm.corpus.kernels.minhash import band_keys, signatures
from polyglot_lm.corpus.kernels.ngrams import Index, cut_batch, filter_of, find, rule_of
from polyglot_lm.corpus.kernels.statistics import statistics
from polyglot_lm.pipeline import Progress


def compile_kernels(progress: Progress) -> None:
    """Run each kernel on two words, unless a cache of this very code is there."""
    if any(CACHE.rglob("*.nbi")):  # numba makes the folder itself when it decorates
        return
    progress.say("compiling the corpus kernels, once (about 20 s)")
    batch = TextBatch.from_texts(["one text", "one text"])
    statistics(batch, ("one",))
    signed = signatures(batch, 1)
    keys = band_keys(signed)
    edges = verified_edges(group(keys[:, 0].copy(), np.arange(2, dtype=np.uint32)), signed, 1.0)
    clusters = Components(2)
    clusters.join(edges)
    clusters.labels()
    rule = rule_of({"word": 1, "number": 1, "code_point": 1}, 50)
    anchors = np.unique(cut_batch(batch, rule).anchors)
    arrays = (anchors, anchors, np.ones(len(anchors), np.int64), filter_of(anchors))
    find(batch, rule, Index(*(read_only(array) for array in arrays)))
