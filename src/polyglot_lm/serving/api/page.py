"""The description of the API as a page: what `/openapi.json` says, as tables. No script and nothing from elsewhere.

FastAPI's own page loads its program from a public CDN; this one opens behind a firewall and lets the strictest content policy
stand.
"""

import html
from collections.abc import Iterator
from typing import Any

from polyglot_lm.pages import html_page, table

INTRODUCTION = """<p>Completions as OpenAI's clients ask for them: set their <code>base_url</code> to <code>/v1</code> of
this server. What a model cannot honour is refused by its name with status 400. Refusals have OpenAI's shape:
<code>{"error": {"message", "type", "param", "code"}}</code>. The same for programs: <a href="openapi.json">openapi.json</a>.</p>"""
BOUNDS = {"minimum": "≥", "exclusiveMinimum": "&gt;", "maximum": "≤", "exclusiveMaximum": "&lt;"}
LENGTHS = {"minLength": "letters ≥", "minItems": "items ≥", "maxItems": "items ≤", "maxLength": "letters ≤"}
STYLE = "td { white-space: normal } td:nth-child(n+2), th:nth-child(n+2) { text-align: left }"


def description_page(schema: dict[str, Any]) -> str:
    """Return the page of an OpenAPI schema."""
    return html_page(f"{schema['info']['title']} API", [INTRODUCTION, *sections(schema)], style=STYLE)


def sections(schema: dict[str, Any]) -> Iterator[str]:
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            yield f"<h2><code>{method.upper()} {html.escape(path)}</code></h2><p>{html.escape(operation['description'])}</p>"
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            if body:
                yield fields(schema["components"]["schemas"][body["$ref"].rsplit("/", 1)[1]])
            answers = [(status, html.escape(answer["description"])) for status, answer in operation["responses"].items()]
            yield table(("Status", "Meaning"), answers)


def fields(model: dict[str, Any]) -> str:
    required = model.get("required", [])
    lines = [
        (f"<code>{name}</code>", kind(field), "needed" if name in required else "", html.escape(field.get("description", "")))
        for name, field in model["properties"].items()
    ]
    return table(("Parameter", "Type", "", "Meaning"), lines)


def kind(field: dict[str, Any]) -> str:
    """Return a field's type and bounds, such as `number ≥ 0 ≤ 2`."""
    if "anyOf" in field:
        return " or ".join(kind(option) for option in field["anyOf"] if option.get("type") != "null")
    if "$ref" in field:
        return str(field["$ref"].rsplit("/", 1)[1])
    said = {"null": "nothing"}.get(field.get("type", "any"), field.get("type", "any"))
    of = f" of {kind(field['items'])}" if "items" in field else ""
    bounds = [f"{sign} {round(field[name]):,}" for name, sign in (BOUNDS | LENGTHS).items() if name in field]  # all are whole
    return " ".join([f"{said}{of}", *bounds])
