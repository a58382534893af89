"""What was once computed of a large file, remembered: its checksum, and where it can be cut.

Ten terabytes read once at 1 GB/s are three hours; a second start of the same recipe must not pay them again. Facts lie in
one SQLite file in the user's cache folder, under a key that names the file, its size and its stamp, so a changed file has
another key. The memory is a convenience: unwritable, locked or damaged, it is passed over and the fact computed anew.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import xxhash

from polyglot_lm.corpus.chromium import cache_folder

WAIT_SECONDS = 5.0  # for another process that writes
TABLE = "CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, fact TEXT NOT NULL, checksum TEXT NOT NULL)"


def remembered(key: str, compute: Callable[[], str]) -> str:
    """Return what was computed under this key before, or compute and remember it."""
    short = xxhash.xxh3_128_hexdigest(key.encode(errors="surrogateescape"))
    fact = look_up(short)
    if fact is None:
        fact = compute()
        keep(short, fact)
    return fact


def look_up(key: str) -> str | None:
    with contextlib.suppress(OSError, sqlite3.Error), memory() as table:
        for fact, checksum in table.execute("SELECT fact, checksum FROM facts WHERE key = ?", (key,)):
            if checksum == checksum_of(key, fact):
                return str(fact)
    return None


def keep(key: str, fact: str) -> None:
    with contextlib.suppress(OSError, sqlite3.Error), memory() as table:
        table.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (key, fact, checksum_of(key, fact)))


def checksum_of(key: str, fact: str) -> str:
    return xxhash.xxh3_64_hexdigest(f"{key} {fact}".encode(errors="replace"))


@contextlib.contextmanager
def memory() -> Iterator[sqlite3.Connection]:
    path = cache_folder() / "files.sqlite"
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=WAIT_SECONDS)
    try:
        connection.execute(TABLE)
        with connection:
            yield connection
    except sqlite3.OperationalError:
        raise  # locked or unwritable: another time
    except sqlite3.DatabaseError:
        forget(path)
        raise
    finally:
        connection.close()


def forget(path: Path) -> None:
    """Remove a damaged memory, so that the next fact begins a new one."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
