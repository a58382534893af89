"""The corpus kernels: what must run at tens of megabytes a second per core, compiled by numba over Arrow's own buffers.

A batch of documents is one run of UTF-8 bytes with offsets (`batch`), read in *units* (`units`): words where a script
writes spaces, code points where it does not. Over units stand the quality and repetition columns (`statistics`), the
MinHash signatures (`minhash`) and, over their bands, the clusters of near-duplicates (`lsh`).

Import these modules inside the function that needs them: numba takes a second to load, and `polyglot --help` has none.
"""

NUM_VALUES, NUM_BANDS = 120, 20  # of a signature, and of the bands it is cut into
