"""Look into tokenizers and what they wrote: `tokenizer report`, `tokenizer megatron`."""

from pathlib import Path
from typing import Annotated

import typer

from polyglot_lm.cli.arguments import comma_separated

app = typer.Typer(help="Look into tokenizers.", no_args_is_help=True)


@app.command(name="report")
def tokenizer_report_command(
    tokenizers: Annotated[list[str], typer.Argument(metavar="TOKENIZER...", help="Folders, tokenizer.json files, or hub names.")],
    parallel: Annotated[Path, typer.Option(help="JSON lines (.zst, .gz) with the same sentence in every language.")],
    languages: Annotated[str, typer.Option(help="Which of them, by comma; empty means all in the file.")] = "",
    reference: Annotated[str, typer.Option(help="The language that premiums are measured against.")] = "en",
    out: Annotated[Path, typer.Option(help="Folder for parity.json and parity.html.")] = Path("tokenizer-report"),
) -> None:
    """Compare what a sentence costs in every language, tokenizers side by side."""
    from polyglot_lm.tokenizer.parity import read_parallel
    from polyglot_lm.tokenizer.parity_page import print_parity, write_parity_report

    sentences = read_parallel(parallel, comma_separated(languages))
    print_parity(write_parity_report(out, places=tokenizers, parallel=sentences, reference=reference))
    print(f"report  {out / 'parity.html'}")


@app.command(name="megatron")
def megatron_command(tokens: Annotated[Path, typer.Argument(help="Folder of token shards.")]) -> None:
    """Write the index that Megatron-LM reads beside every token shard."""
    from polyglot_lm.tokenizer.megatron import write_megatron_index

    print("\n".join(map(str, write_megatron_index(tokens))))
