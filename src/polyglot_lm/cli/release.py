"""Bring models out and in: `export`, `import`, `card`, `push`, `models`."""

from pathlib import Path
from typing import Annotated

import typer

from polyglot_lm.cli.arguments import DEFAULT_ROOT, Root, fail

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


def card_command(
    model: Annotated[Path, typer.Argument(help="Folder of an export that a recipe made, or of a training.")],
    out: Annotated[Path | None, typer.Option(help="Folder of README.md and plots; that of the model if not said.")] = None,
    title: Annotated[str | None, typer.Option(help="The card's title, if not the recipe's.")] = None,
    evaluation: Annotated[list[Path] | None, typer.Option(help="A folder that `polyglot evaluate` wrote.")] = None,
    balance: Annotated[Path | None, typer.Option(help="The balance.json of `polyglot balance`.")] = None,
    masking: Annotated[Path | None, typer.Option(help="Figures of the masker: JSON with by_country_and_kind.")] = None,
) -> None:
    """Write the model card from what was recorded and measured."""
    from polyglot_lm.release.card import CARD_FILE, model_card, story_of, write_card
    from polyglot_lm.release.card_training import NOT

    story = story_of(model, title=title, evaluations=evaluation or (), balance=balance, masking=masking)
    folder = out or model
    write_card(folder, story)
    print(f"card       {folder / CARD_FILE}\n{NOT} {model_card(story).count(NOT)} fields")


def push_command(
    folder: Annotated[Path, typer.Argument(help="Folder of an export with its card.")],
    repository: Annotated[str, typer.Argument(help="OWNER/NAME on the hub.")],
    checkpoint: Annotated[
        list[str] | None, typer.Option(metavar="BRANCH=FOLDER", help="An intermediate step: step-1000=FOLDER.")
    ] = None,
    endpoint: Annotated[str | None, typer.Option(help="Address of the hub.", envvar="HF_ENDPOINT")] = None,
    *,
    send: Annotated[bool, typer.Option("--send", help="Send it; without this, only say what would happen.")] = False,
    public: Annotated[bool, typer.Option("--public", help="A repository that is new is seen by all.")] = False,
    anyway: Annotated[bool, typer.Option("--anyway", help="Even if a proof or a gate failed.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files of the repository that differ.")] = False,
) -> None:
    """Publish an export on the Hugging Face hub, or say what publishing would do."""
    from polyglot_lm.release.extras import required
    from polyglot_lm.release.hub import MAIN, plan_push, push, require_pushable

    api = required("huggingface_hub").HfApi(endpoint=endpoint)
    branches = [(MAIN, folder), *(branch_and_folder(given) for given in checkpoint or ())]
    plans = [plan_push(api, place, repository, branch) for branch, place in branches]
    for plan in plans:
        print(f"{plan.repository}@{plan.branch}  {'' if plan.exists else 'new, '}{plan.num_bytes / 1e6:,.1f} MB to send")
        for change in plan.changes:
            print(f"  {change.what:<8} {change.num_bytes:>15,}  {change.path}")
        for refusal in plan.refusals:
            print(f"  against  {refusal}")
    if not send:
        print("nothing was sent; add --send")
        return
    require_pushable(plans, anyway=anyway, overwrite=overwrite)
    print("\n".join(push(api, plans, private=not public)))


def branch_and_folder(given: str) -> tuple[str, Path]:
    from polyglot_lm.pipeline import UserError

    branch, equals, folder = given.partition("=")
    if not (branch and equals and folder):
        raise UserError(f"--checkpoint is {given!r}; write BRANCH=FOLDER, such as step-1000=exports/step-1000")
    return branch, Path(folder)


def models_command(
    root: Root = DEFAULT_ROOT,
    out: Annotated[Path, typer.Option(help="The page.")] = Path("docs/models.md"),
) -> None:
    """Write the page of models: what the recipes make, and how far each of them is."""
    from polyglot_lm.recipes import steps_of_models
    from polyglot_lm.release.status import write_status_page

    write_status_page(out, steps_of_models(), root)
    print(f"page       {out}")
