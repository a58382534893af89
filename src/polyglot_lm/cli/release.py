"""Bring models out and in: `export`, `import`, `card`, `push`, `models`."""

from pathlib import Path
from typing import Annotated

import typer

from polyglot_lm.cli.arguments import fail

UNPROVED = 1


def export_command(
    model: Annotated[Path, typer.Argument(help="Folder of a training, an export, or a checkpoint of the hub.")],
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    form: Annotated[str, typer.Option("--format", help="hf, gguf or ctranslate2.")] = "hf",
    precision: Annotated[str, typer.Option(help="float32, bfloat16, float16, int8 (gguf, ctranslate2), int4 (gguf).")] = "float32",
    tokenizer: Annotated[Path | None, typer.Option(help="Folder of its tokenizer, where it has none and records none.")] = None,
    text: Annotated[Path | None, typer.Option(help="JSON lines (.zst, .gz), a sentence a language, to prove it on.")] = None,
) -> int:
    """Write a model in another format and prove that it computes the same; exit code 1: it does not."""
    from polyglot_lm.release.export import Unproved, export

    try:
        proof = export(model, out, form=form, precision=precision, tokenizer=tokenizer, text=text)
    except Unproved as unproved:
        return fail(str(unproved), UNPROVED)
    found = proof.languages.values()
    print(f"model      {out}")
    print(f"proved     {sum(row.tokens for row in found):,} tokens in {len(found)} languages, by {proof.program}")
    print(f"logits     differ by at most {max(row.logits_difference for row in found):.2g}")
    print(f"top 1      the same for at least {min(row.top1 for row in found):.2%} of the tokens of a language")
    print(f"bits       grow by at most {max(row.bits_increase for row in found):.3%} in a language")
    return 0


def import_command(
    source: Annotated[str, typer.Argument(help="A GPT-NeoX model of the hub, such as EleutherAI/polyglot-ko-1.3b, or a folder.")],
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    revision: Annotated[str, typer.Option(help="Branch, tag or commit of the hub's repository.")] = "main",
    precision: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16; else as stored.")] = None,
) -> None:
    """Take a GPT-NeoX checkpoint in: training, evaluation, export and `generate` start from the folder."""
    from polyglot_lm.release.export import require_new
    from polyglot_lm.release.importing import import_model

    require_new(out)
    out.mkdir(parents=True, exist_ok=True)
    found = import_model.function(out, source=source, revision=revision, precision=precision)
    print(f"model      {out}\nparameters {found['parameters']:,}\nprecision  {found['precision']}")
