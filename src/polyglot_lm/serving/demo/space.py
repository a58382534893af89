"""The demo page as a folder that runs by itself: as a Hugging Face Space, or on any machine with `python app.py`.

    MODEL ... ─► OUT/app.py, requirements.txt, README.md with the Space's front matter, models/NAME/, policy.toml if given

The page, the guard and the limits are those of `polyglot serve`; the API, its keys and the curators' queue stay at home, since a
Space forgets its disk. `app.py` is three lines over `run_space`, so that what runs there is what is tested here.
"""

import contextlib
import json
import os
import platform
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware

from polyglot_lm import __version__
from polyglot_lm.pipeline import UserError, atomic_text
from polyglot_lm.serving.completion import Service
from polyglot_lm.serving.demo.mount import mount_page
from polyglot_lm.serving.engines.folder import require_usable
from polyglot_lm.serving.engines.opening import open_engine
from polyglot_lm.serving.guard.guard import load_guard
from polyglot_lm.serving.guard.policy import read_policy
from polyglot_lm.serving.layers import Patience
from polyglot_lm.serving.limits import Limits

MODELS, POLICY = "models", "policy.toml"
PORT = 7860  # where Spaces look for the page, and Gradio's own
APP = '''"""Written by `polyglot space`: the demo page of the models beside this file."""

from pathlib import Path

from polyglot_lm.serving.demo.space import run_space

run_space(Path(__file__).resolve().parent, {names})
'''
README = """---
title: "{title}"
sdk: gradio
sdk_version: {gradio}
python_version: "{python}"
app_file: app.py
colorFrom: indigo
colorTo: gray
pinned: false
---
# {title}

A page to try {names}. A base model continues a text. A guard reads prompts and texts: it masks personal information, ends what its
policy refuses, and misses things. Written by `polyglot space`; anywhere else it runs with

```sh
pip install -r requirements.txt
python app.py
```
"""


def write_space(
    models: Sequence[Path], out: Path, *, title: str = "", requirement: str = "", policy: Path | None = None
) -> dict[str, Path]:
    """Write a Space's folder and return its models by name.

    `requirement` is the line of requirements.txt that installs this package with its extra `serve`. Raises UserError for a model
    that cannot be served, two of one name, or an `out` that is not new.
    """
    folders = {model.name or model.resolve().name: model.resolve() for model in models}  # a link keeps its own name
    if len(folders) < len(models):
        raise UserError(f"two of the models are named {', '.join(folders)}; give them different folder names")
    for folder in folders.values():
        require_usable(folder)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{str(out)!r} is not empty and nothing is overwritten; name a new folder")
    lists = own_lists(policy) if policy else {}
    for name, folder in folders.items():
        shutil.copytree(folder, out / MODELS / name)
    for place, path in lists.items():
        (out / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, out / place)
    if policy:
        shutil.copyfile(policy, out / POLICY)
    heading = " ".join((title or f"Polyglot: {', '.join(folders)}").split()).replace('"', "'")
    readme = README.format(
        title=heading, gradio=version("gradio"), python=python_version(), names=", ".join(f"`{name}`" for name in folders)
    )
    texts = {
        "README.md": readme,
        "requirements.txt": f"{requirement or f'polyglot-lm[serve]=={__version__}'}\n",
        "app.py": APP.format(names=json.dumps(list(folders))),
    }
    for file_name, text in texts.items():
        with atomic_text(out / file_name) as file:
            file.write(text)
    return folders


def own_lists(policy: Path) -> dict[Path, Path]:
    """Return the word lists that a policy names, by their place beside it; raises UserError for one that is not there."""
    home = policy.resolve().parent
    lists = [words.path.resolve() for words in read_policy(policy).lists]
    for path in lists:
        if not (path.is_relative_to(home) and path.is_file()):
            raise UserError(f"{policy} names {str(path)!r}; the list must be a file beside the policy, so that the Space has both")
    return {path.relative_to(home): path for path in lists}


def python_version() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def space_app(folder: Path, names: Sequence[str]) -> FastAPI:
    """Return the application of a Space: the page over the models in its folder, and nothing beside it."""
    folders = {name: folder / MODELS / name for name in names}
    policy = folder / POLICY
    guard = load_guard(policy if policy.exists() else None, "enforce")
    limits = Limits()
    service = Service({name: open_engine(str(place)) for name, place in folders.items()}, guard=guard, limits=limits)

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.close()

    app = FastAPI(lifespan=life, openapi_url=None, middleware=[Middleware(Patience, limits=limits)])
    mount_page(app, service, folders)
    return app


def run_space(folder: Path, names: Sequence[str]) -> None:
    """Serve a Space's folder until a signal: on a Space to all, elsewhere on loopback, at Gradio's variables if they are set."""
    on_space = "SPACE_ID" in os.environ
    host = os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0" if on_space else "127.0.0.1")
    port = int(os.environ.get("GRADIO_SERVER_PORT", PORT))
    try:
        app = space_app(folder, names)
    except UserError as error:
        sys.exit(f"polyglot: {error}")
    print(f"http://{host}:{port}", flush=True)  # noqa: T201  (all that a Space's log says)
    proxied: dict[str, Any] = {"proxy_headers": True, "forwarded_allow_ips": "*"} if on_space else {"proxy_headers": False}
    uvicorn.run(app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=5, **proxied)
