"""What a person can cause, said in one sentence that names the value and the fix.

The command line prints these and exits with 2; everything else is a defect of ours and keeps its traceback.
"""

import errno
from pathlib import Path


class UserError(Exception):
    """A mistake or a circumstance outside the program; the message is one sentence with the value and the fix."""


class CorruptFileError(UserError):
    """A file of ours whose content is not what was written."""

    def __init__(self, path: Path, found: str) -> None:
        self.path, self.found = path, found
        super().__init__(f"{path} is damaged ({found}); delete the folder {path.parent} and run again to rebuild it")

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        return CorruptFileError, (self.path, self.found)  # so that a worker's error reaches the command


def disk_full(error: BaseException) -> bool:
    """Say whether an exception of any library comes from a full disk."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "No space left on device" in str(error) or "os error 28" in str(error)
