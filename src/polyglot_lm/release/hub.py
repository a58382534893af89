"""An export becomes a repository of the hub, with a branch for each intermediate step.

    folder ─► plan (files, sizes, what would change, what speaks against it) ─► push: repository, branches, one upload each

Nothing is sent until the plan says what would happen and the caller agrees. An export that was not proved, a gate that failed
or a card that the hub would refuse stops the push, and so does a repository that holds anything else: what is there is never
overwritten by chance. Uploading goes through huggingface_hub, which skips what the hub already has, so a push that was cut off
goes on when it is run again.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyglot_lm.pipeline import RECORD, UserError, read_json, write_json
from polyglot_lm.release.card import BALANCE_FILE, CARD_FILE
from polyglot_lm.release.extras import required
from polyglot_lm.release.metadata import metadata_complaints
from polyglot_lm.release.proof import PROOF_FILE

MAIN = "main"
PUSHED_FILE = "pushed.json"  # beside what was pushed: where it went
THEIRS = frozenset({".gitattributes"})  # written by the hub itself
READ_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One file: `new`, `changed`, `same`, or `theirs` when only the repository has it."""

    path: str
    num_bytes: int
    what: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a push of one folder to one branch would do; `refusals` are about the folder, `conflicts` about the repository."""

    folder: Path
    repository: str
    branch: str
    exists: bool
    changes: Sequence[Change]
    refusals: Sequence[str] = field(default_factory=tuple)

    @property
    def num_bytes(self) -> int:
        return sum(change.num_bytes for change in self.changes if change.what in ("new", "changed"))

    @property
    def conflicts(self) -> list[str]:
        return [change.path for change in self.changes if change.what in ("changed", "theirs")]


def plan_push(api: Any, folder: Path, repository: str, branch: str = MAIN) -> Plan:
    """Compare a folder with a branch; raises UserError where the hub cannot be asked."""
    if not folder.is_dir():
        raise UserError(f"there is no folder {str(folder)!r}; give that of an export")
    there = listed(api, repository, branch)
    here = {path.relative_to(folder).as_posix(): path for path in files_of(folder)}
    changes = [Change(path=name, num_bytes=path.stat().st_size, what=state(path, there, name)) for name, path in here.items()]
    changes += [Change(path=name, num_bytes=file.size, what="theirs") for name, file in there.items() if name not in here]
    return Plan(
        folder=folder,
        repository=repository,
        branch=branch,
        exists=bool(there),
        changes=sorted(changes, key=lambda change: change.path),
        refusals=refusals(folder),
    )


def files_of(folder: Path) -> Iterator[Path]:
    """Yield what is pushed: all but hidden files and what records a step or a push."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and path.name not in (RECORD, PUSHED_FILE):
            yield path


def listed(api: Any, repository: str, branch: str) -> dict[str, Any]:
    """Return the files of a branch by path, none where there is no such repository or branch."""
    hub = required("huggingface_hub")
    try:
        entries = list(api.list_repo_tree(repository, recursive=True, revision=branch))
    except (hub.errors.RepositoryNotFoundError, hub.errors.RevisionNotFoundError):
        return {}
    except Exception as error:
        raise said_by_hub(error, repository) from error
    return {entry.path: entry for entry in entries if hasattr(entry, "blob_id") and entry.path not in THEIRS}


def state(path: Path, there: dict[str, Any], name: str) -> str:
    if name not in there:
        return "new"
    file = there[name]
    if file.size != path.stat().st_size:
        return "changed"
    same = sha256(path) == file.lfs.sha256 if file.lfs else git_blob(path) == file.blob_id
    return "same" if same else "changed"


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_blob(path: Path) -> str:
    """Return the id git gives to a file's content."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def refusals(folder: Path) -> list[str]:
    """Say what speaks against publishing a folder: no proof, a failed proof or gate, no card or one the hub would refuse."""
    found = []
    proof = read_json(folder / PROOF_FILE) if (folder / PROOF_FILE).exists() else None
    if proof is None:
        found.append(f"{PROOF_FILE} is missing: export the model, which proves it")
    elif not proof["passed"]:
        found.append(f"the proof failed: {proof['failures'][0]}")
    if (folder / BALANCE_FILE).exists():
        gates = [gate for model in read_json(folder / BALANCE_FILE)["models"] for gate in model["gates"]]
        found += [f"the gate {gate['name']!r} failed: {gate['value']:.4g}" for gate in gates if not gate["passed"]]
    if (folder / CARD_FILE).exists():
        found += metadata_complaints((folder / CARD_FILE).read_text(encoding="utf-8"))
    else:
        found.append(f"{CARD_FILE} is missing: write it with polyglot card")
    return found


def require_pushable(plans: Sequence[Plan], *, anyway: bool, overwrite: bool) -> None:
    """Raise UserError for the first thing that speaks against a push, unless the caller said that it may happen."""
    for plan in plans:
        if plan.refusals and not anyway:
            raise UserError(f"{plan.folder}: {plan.refusals[0]}; --anyway pushes it all the same")
        if plan.conflicts and not overwrite:
            raise UserError(
                f"{plan.repository}@{plan.branch} holds other content ({', '.join(plan.conflicts[:3])}); nothing was sent, "
                "--overwrite replaces what differs and keeps the rest"
            )


def push(api: Any, plans: Sequence[Plan], *, private: bool) -> list[str]:
    """Carry plans out and return the address of each branch; run again after an interruption, it goes on."""
    hub = required("huggingface_hub")
    if not (api.token or hub.get_token()):
        raise UserError("there is no token of the hub; set HF_TOKEN or run hf auth login")
    addresses = []
    for plan in plans:
        try:
            api.create_repo(plan.repository, private=private, exist_ok=True)
            if plan.branch != MAIN:
                api.create_branch(plan.repository, branch=plan.branch, exist_ok=True)
            if any(change.what in ("new", "changed") for change in plan.changes):
                names = [path.relative_to(plan.folder).as_posix() for path in files_of(plan.folder)]
                api.upload_folder(
                    repo_id=plan.repository,
                    folder_path=plan.folder,
                    revision=plan.branch,
                    allow_patterns=names,
                    commit_message=f"{plan.folder.resolve().name}, by polyglot push",
                )
        except Exception as error:
            raise said_by_hub(error, plan.repository) from error
        addresses.append(f"{api.endpoint}/{plan.repository}/tree/{plan.branch}")
    address = f"{api.endpoint}/{plans[0].repository}"
    write_json(plans[0].folder / PUSHED_FILE, {"address": address, "branches": [plan.branch for plan in plans]})
    return addresses


def said_by_hub(error: Exception, repository: str) -> Exception:
    """Turn what the hub or the network said into a sentence; anything else stays what it is."""
    hub = required("huggingface_hub")
    known = (hub.errors.HfHubHTTPError, hub.errors.HFValidationError, OSError, ValueError)
    if isinstance(error, known) or type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "requests"):
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return UserError(f"the hub did not take {repository!r}: {reason}; what was sent is kept, run the same command again")
    return error
