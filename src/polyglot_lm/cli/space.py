"""The demo page as a folder: `space`."""

from pathlib import Path
from typing import Annotated

import typer


def space_command(
    models: Annotated[list[Path], typer.Argument(help="Exported folders; two stand side by side.")],
    out: Annotated[Path, typer.Option(help="A new folder.")],
    title: Annotated[str, typer.Option(help="The Space's title.")] = "",
    requirement: Annotated[
        str, typer.Option(help="What requirements.txt installs, if not this version of polyglot-lm[serve].")
    ] = "",
    policy: Annotated[Path | None, typer.Option(help="A policy file for its guard.")] = None,
) -> None:
    """Write the demo page of models as a folder: a Hugging Face Space, or `python app.py` anywhere."""
    from polyglot_lm.serving.demo.space import write_space

    found = write_space(models, out, title=title, requirement=requirement, policy=policy)
    print(f"space      {out}\nmodels     {', '.join(found)}\ntry        python {out / 'app.py'}")
