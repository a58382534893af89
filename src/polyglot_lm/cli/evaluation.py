"""Measure models and set them side by side: `evaluate`, `balance`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from polyglot_lm.cli.arguments import comma_separated, fail, terminal
from polyglot_lm.pipeline import CORES, Runtime, UserError

TASKS_FAILED = 4  # all else is done and kept
DEFAULT_OUT = Path("evaluations")
ALL = "all"


def evaluate(
    model: Annotated[str, typer.Argument(help="An exported folder, OWNER/NAME of the hub, or a preset such as bloom-560m.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the results; evaluations/NAME if not said.")] = None,
    tasks: Annotated[str, typer.Option(help="Tasks, families or languages by comma; `all`; with --data, all it holds.")] = "",
    data: Annotated[Path | None, typer.Option(help="Folder of task files instead of the hub: TASK/SPLIT.jsonl.zst.")] = None,
    shots: Annotated[str, typer.Option(help="Numbers of examples shown, by comma, such as 0,5,10,50.")] = "0",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many items of each task.")] = None,
    corpora: Annotated[
        Path | None, typer.Option(help="Root whose corpora's test splits are scored; a recipe's model knows its own.")
    ] = None,
    parallel: Annotated[
        Path | None, typer.Option(help="Parallel sentences: a JSON object a line with languages as keys, zstd.")
    ] = None,
    languages: Annotated[str, typer.Option(help="Codes by comma; all of the table if not said.")] = "",
    window_bytes: Annotated[int, typer.Option(min=16, help="English-equivalent bytes of text that a prediction sees.")] = 512,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch.")] = CORES,
) -> int:
    """Measure a model: held-out text, parallel sentences, tasks. Exit code 4: some tasks failed, the others are done."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # the harness's bars would write into ours
    import torch

    from polyglot_lm.evaluation.bench import read_scores
    from polyglot_lm.evaluation.catalogue import chosen_tasks
    from polyglot_lm.evaluation.evaluate import corpora_below, describe_model, measure_tasks, measure_text, own_corpora
    from polyglot_lm.evaluation.models import load_model
    from polyglot_lm.evaluation.scores import chance_verdict
    from polyglot_lm.languages import languages as table
    from polyglot_lm.languages import select

    chosen = chosen_tasks([] if tasks == ALL else comma_separated(tasks), data) if tasks or data else []
    counts = sorted({whole_number(text) for text in comma_separated(shots)})
    codes = [language.code for language in select(comma_separated(languages) or tuple(table()))]
    torch.set_num_threads(threads)
    loaded = load_model(model, device=device)
    folder, runtime = out or DEFAULT_OUT / Path(model).name, Runtime(threads=threads, device=device, progress=terminal())
    described = describe_model(folder, loaded)
    found = own_corpora(described, codes) if corpora is None else corpora_below(corpora, codes)
    if found or parallel is not None:
        costs = {code: table()[code].byte_premium for code in codes}
        measure_text(
            folder,
            loaded,
            corpora=found,
            parallel=parallel,
            byte_premiums=costs,
            window_english_bytes=window_bytes,
            runtime=runtime,
        )
    if not (found or parallel or chosen):
        raise UserError("nothing to measure; give --data or --tasks, --corpora or --parallel")
    failed: dict[str, str] = {}
    if chosen:
        failed = measure_tasks(
            folder, loaded, chosen, data=data, shots=counts, limit=limit, languages=codes, corpora=found, runtime=runtime
        )
    verdict = [chance_verdict(scores)] if (scores := read_scores(folder)) else []
    print("\n".join([*verdict, str(folder), "", "next", f"  polyglot balance {folder}"]))
    return fail(f"{len(failed)} tasks failed: {', '.join(failed)}", TASKS_FAILED) if failed else 0


def whole_number(text: str) -> int:
    if not text.isdecimal():
        raise UserError(f"--shots has {text!r}; give whole numbers by comma, such as 0,5")
    return int(text)


def balance(
    folders: Annotated[list[Path], typer.Argument(help="Folders that `polyglot evaluate` wrote, one a model.")],
    references: Annotated[Path | None, typer.Option(help="Folder of monolingual references (`polyglot run references`).")] = None,
    out: Annotated[Path, typer.Option(help="Folder of balance.json and balance.html.")] = Path("balance"),
) -> int:
    """Write the balance report of one model or of several side by side."""
    from polyglot_lm.evaluation.balance import write_balance

    verdicts = write_balance(out, folders, references)
    print("\n".join([*verdicts, f"\nreport  {out / 'balance.html'}"]))
    return 0
