"""What the hub demands of a card's front matter, checked without the hub.

The hub validates on upload (`/api/validate-yaml`), when weights may already have travelled; these are its rules for the fields we
write, from its documentation of model cards (huggingface.co/docs/hub/model-cards), on top of huggingface_hub's own parser.
"""

import re
from collections.abc import Mapping
from typing import Any

from polyglot_lm.release.extras import required

LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,8})*|multilingual|code")
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+|[\w.-]+")
LICENSES = frozenset(
    "apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 afl-3.0 artistic-2.0 bsd "
    "bsl-1.0 bsd-2-clause bsd-3-clause bsd-3-clause-clear cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 "
    "cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc- "
    "by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 "
    "eupl-1.1 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl openrail++ "
    "osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl unknown other".split()
)
TASKS = frozenset({"text-generation", "fill-mask", "text-classification", "feature-extraction", "translation", "summarization"})


def metadata_complaints(card: str) -> list[str]:
    """Return what the hub would refuse in a card's front matter, in sentences; empty when it is well."""
    hub = required("huggingface_hub")
    try:
        data: Mapping[str, Any] = hub.ModelCard(card, ignore_metadata_errors=False).data.to_dict()
    except Exception as error:  # noqa: BLE001  (of the YAML parser or of the library's own checks)
        return [f"the front matter cannot be read: {str(error).splitlines()[0]}"]
    if not data:
        return ["the card has no front matter"]
    languages = data.get("language", [])
    found = [f"language {code!r} is no ISO 639 code" for code in listed(languages) if not LANGUAGE.fullmatch(str(code))]
    if data.get("license") not in LICENSES:
        found.append(f"license {data.get('license')!r} is not one of the hub's identifiers")
    if "pipeline_tag" in data and data["pipeline_tag"] not in TASKS:
        found.append(f"pipeline_tag {data['pipeline_tag']!r} is not a task that a language model of ours does")
    for field in ("datasets", "base_model"):
        found += [f"{field} has {name!r}, no name of a repository" for name in listed(data.get(field)) if not named(name)]
    if not all(isinstance(tag, str) for tag in listed(data.get("tags"))):
        found.append("tags must be text")
    return found


def listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def named(value: Any) -> bool:
    return isinstance(value, str) and REPOSITORY.fullmatch(value) is not None
