"""More tokens for a tokenizer that exists: byte-pair merges are learned on from where it stopped.

In: a tokenizer folder (byte-level BPE, ours or another's) and corpora of languages to learn. Out: the same tokenizer with
more merges. Every old id stays what it was: the new merges rank after all old ones, so a text is first cut as before and then
joined further, which is just what training on would have done (Sennrich et al. 2016, arXiv 1508.07909).

Every language gives the same number of English-equivalent bytes, whole documents from the head of its corpus.
"""

import heapq
import itertools
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from polyglot_lm.pipeline import Counters, UserError, atomic_text, read_json, stage, xxh3_128_file
from polyglot_lm.shards import read_documents, require_documents
from polyglot_lm.tokenizer.train import CONFIG_FILE, check_vocab_size
from polyglot_lm.tokenizer.vocabulary import TOKENIZER_FILE, Tokenizer

Pair = tuple[str, str]
LEAST = 1e-12  # of a pair that is nowhere any more, rounding leaves less
Words = dict[tuple[str, ...], float]  # how a word is cut, and how often it is there


@stage(version=1)
def extend_tokenizer(
    out: Path,
    *,
    base: Path,
    corpora: Mapping[str, Path],
    byte_premiums: Mapping[str, float],
    vocab_size: int,
    max_english_bytes: int,
) -> Counters:
    """Learn merges up to `vocab_size` tokens; raises UserError for a size below the base's, or beyond what the text yields."""
    check_vocab_size(vocab_size)
    require_documents(corpora, "train")
    tokenizer = Tokenizer(base)
    wanted = vocab_size - tokenizer.vocab_size
    if wanted < 1:
        raise UserError(f"vocab_size is {vocab_size}, but {base} has {tokenizer.vocab_size} tokens; ask for more")
    words: Words = defaultdict(float)
    for code, corpus in corpora.items():
        count_words(words, tokenizer, corpus, int(max_english_bytes * byte_premiums[code]))
    merges = learn(words, wanted, set(read_json(tokenizer.path)["model"]["vocab"]))
    if len(merges) < wanted:
        raise UserError(f"the text yields only {len(merges)} more tokens than {base} has, not {wanted}; ask for fewer or add text")
    with atomic_text(out / TOKENIZER_FILE) as file:
        json.dump(with_merges(tokenizer, merges), file, ensure_ascii=False, indent=1)
    if (base / CONFIG_FILE).exists():
        shutil.copyfile(base / CONFIG_FILE, out / CONFIG_FILE)
    return {"vocab_size": Tokenizer(out).vocab_size, "added": len(merges), "tokenizer": xxh3_128_file(out / TOKENIZER_FILE)}


def count_words(words: Words, tokenizer: Tokenizer, corpus: Path, limit: int) -> None:
    """Add the words of a corpus's first `limit` bytes, each as the tokenizer cuts it; the language weighs one in all."""
    found: Counter[str] = Counter()
    for text in first_texts(corpus, limit):
        found.update(piece for piece, _ in tokenizer.library.pre_tokenizer.pre_tokenize_str(normalized(tokenizer, text)))
    total = found.total()
    for piece, count in found.items():
        cut = tuple(token.value for token in tokenizer.library.model.tokenize(piece))
        if len(cut) > 1:
            words[cut] += count / total


def normalized(tokenizer: Tokenizer, text: str) -> str:
    normalizer = tokenizer.library.normalizer
    return text if normalizer is None else str(normalizer.normalize_str(text))


def first_texts(corpus: Path, limit: int) -> Iterator[str]:
    for row in read_documents(corpus, ("text", "num_bytes"), "train"):
        yield row["text"]
        limit -= row["num_bytes"]
        if limit <= 0:
            return


def learn(words: Words, wanted: int, known: set[str]) -> list[Pair]:
    """Return up to `wanted` merges, the most frequent pair first and of equals the first by its letters; a pair whose token is
    known already, by another merge, gets none."""
    cuts, weights = [list(cut) for cut in words], list(words.values())
    counts: dict[Pair, float] = defaultdict(float)
    places: dict[Pair, set[int]] = defaultdict(set)  # words where a pair is, or was
    for number, cut in enumerate(cuts):
        for pair in itertools.pairwise(cut):
            counts[pair] += weights[number]
            places[pair].add(number)
    queue = [(-count, pair) for pair, count in counts.items()]  # an entry whose count has changed since is passed over
    heapq.heapify(queue)
    merges: list[Pair] = []
    known = set(known)
    while queue and len(merges) < wanted:
        count, best = heapq.heappop(queue)
        token = "".join(best)
        if -count != counts[best] or -count < LEAST or token in known:
            continue
        merges.append(best)
        known.add(token)
        changed = set[Pair]()
        for number in sorted(places.pop(best)):
            before = cuts[number]
            cuts[number] = joined(before, best)
            for cut, weight in ((before, -weights[number]), (cuts[number], weights[number])):
                for pair in itertools.pairwise(cut):
                    counts[pair] += weight
                    places[pair].add(number)
                    changed.add(pair)
        for pair in changed:
            heapq.heappush(queue, (-counts[pair], pair))
    return merges


def joined(cut: list[str], pair: Pair) -> list[str]:
    found: list[str] = []
    for token in cut:
        if found and (found[-1], token) == pair:
            found[-1] += token
        else:
            found.append(token)
    return found


def with_merges(tokenizer: Tokenizer, merges: list[Pair]) -> dict[str, object]:
    """Return the tokenizer's description with the merges at the end of its own, their tokens after its last id."""
    description: dict[str, object] = read_json(tokenizer.path)
    model = dict(read_json(tokenizer.path)["model"])
    paired = [list(pair) for pair in merges]
    spaced = model["merges"] and isinstance(model["merges"][0], str)  # as libraries before 0.20 wrote them
    model["merges"] = model["merges"] + ([" ".join(pair) for pair in merges] if spaced else paired)
    model["vocab"] = model["vocab"] | {"".join(pair): tokenizer.vocab_size + n for n, pair in enumerate(merges)}
    return {**description, "model": model}
