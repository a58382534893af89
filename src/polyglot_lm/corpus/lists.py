"""Files of the user's that a score is made of: word lists, URL lists, models. In: a path. Out: its identity, its lines.

Identity is what the file holds (name, size, xxh3-128), never where it lies, so an edited list scores anew and a moved one does not.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from polyglot_lm.corpus.places import DamagedError, File, blocks, local_file
from polyglot_lm.corpus.sources import content_of
from polyglot_lm.pipeline import UserError


def given(path: str | Path) -> File:
    """Describe a file as it is now; raises UserError when it is none."""
    place = Path(path).expanduser()
    if not place.is_file():
        raise UserError(f"{str(place)!r} is no file; give the path of a word list, a URL list or a model")
    return local_file(place, place.name)


def identity_of(kind: str, name: str, file: File, **settings: Any) -> dict[str, Any]:
    return {"type": kind, "name": name, "file": {"path": file.path, "bytes": file.size, **content_of(file)}, **settings}


def entries(file: File) -> Iterator[str]:
    """Yield the lines of a list, plain, gzip or zstd, stripped, without empty ones and those that begin with `#`.

    Raises UserError for a file that is damaged, or no UTF-8.
    """
    try:
        text = b"".join(blocks(file)).decode("utf-8-sig")
    except (DamagedError, UnicodeDecodeError) as error:
        raise UserError(f"{file.address} cannot be read as a list ({error}); give UTF-8, one entry a line") from error
    lines = (line.strip() for line in text.splitlines())
    return (line for line in lines if line and not line.startswith("#"))
