"""N-grams of evaluation texts that ordinary documents share by custom, taken out of the index: formulas of laws, of town pages.

In: an index of `index_benchmarks`, and folders of documents, a sample of the corpus without its duplicates. Out: the same index
less the n-grams that stand in more than `max_documents` of them. GPT-3 did so above ten documents; a leaked item stands in few
documents that are no copies of each other, a formula ("passed by the National Assembly of the Republic, session ...") in each of
its kind. In the 45,040 documents of the shared text two n-grams stand in more than ten; one question that holds them condemned
32 Vietnamese laws, and condemns 5 without them.
"""

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from polyglot_lm.corpus.decontaminate import ARRAYS, Contamination, array_path, batches
from polyglot_lm.pipeline import Counters, UserError, atomic_path, stage, write_json
from polyglot_lm.shards import read_documents


@stage(version=1)
def drop_common(out: Path, *, index: Path, documents: Sequence[Path], max_documents: int) -> Counters:
    """Write the index less its common n-grams; counts documents read and n-grams (of texts) dropped.

    The filter and the anchors of short texts stay: what is gone costs a search, no hit. `items_indexed` and `texts` of the splits
    still tell what `index_benchmarks` had. Raises CorruptFileError for an index or a part of documents that is damaged."""
    from polyglot_lm.corpus.kernels.ngrams import find

    if max_documents < 1:
        raise UserError(f"max_documents is {max_documents}; give at least 1")
    opened = Contamination(index, min_hits=1)
    found_in = np.zeros(len(opened.index.hashes), np.int64)
    num_documents = 0
    for folder in documents:
        for batch in batches(row["text"] for row in read_documents(folder, ["text"])):
            _, places = find(batch, opened.rule, opened.index)
            found_in += np.bincount(places, minlength=len(found_in))
            num_documents += len(batch)
    kept = found_in <= max_documents
    hashes, texts = opened.index.hashes[kept], opened.text_of_place[kept]
    num_ngrams = np.bincount(texts, minlength=len(opened.texts))
    place = opened.texts.column_names.index("num_ngrams")
    with atomic_path(out / "texts.parquet") as path:
        column = pa.array(num_ngrams, pa.int32())
        pq.write_table(opened.texts.set_column(place, opened.texts.schema.field(place), column), path, compression="zstd")
    for name in ARRAYS:
        with atomic_path(array_path(out, name)) as path:
            if name in ("hashes", "texts"):
                (hashes if name == "hashes" else texts).tofile(path)
            else:
                shutil.copyfile(array_path(index, name), path)
    ngrams: Counter[tuple[str, str]] = Counter()
    for task, split, count in zip(opened.texts["task"].to_pylist(), opened.texts["split"].to_pylist(), num_ngrams, strict=True):
        ngrams[task, split] += int(count)
    splits = [{**split, "ngrams": ngrams[split["task"], split["split"]]} for split in opened.summary["splits"]]
    lengths = {**opened.summary["lengths"], "hashes": len(hashes), "texts": len(texts)}
    counters = {"documents": num_documents, "ngrams": len(hashes), "common_ngrams": int((~kept).sum())}
    changed = {**counters, "max_documents": max_documents, "lengths": lengths, "splits": splits}
    write_json(out / "benchmarks.json", {**opened.summary, **changed})
    return counters
