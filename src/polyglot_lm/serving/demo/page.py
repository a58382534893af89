"""The demo page: one prompt, one model or two beside each other, their tokens, and what the guard did and why.

It asks the same `Service` as the API, so that limits, guard and queue of reviews are those of any other client. The page is built
once from what is served: examples in the models' languages, settings that an engine honours, what the guard checks. Nothing is
loaded from elsewhere; Gradio's analytics, history and open endpoints are off.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import gradio as gr

from polyglot_lm.languages import languages
from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.completion import Service
from polyglot_lm.serving.demo.about import guard_note, head, released_note
from polyglot_lm.serving.demo.openings import example, openings, shown_languages
from polyglot_lm.serving.demo.panels import Panel, drawn_panel, empty_panel, escaped
from polyglot_lm.serving.demo.token_view import REFERENCE, Cost, cost, openings_table, token_view
from polyglot_lm.serving.demo.writing import Writing
from polyglot_lm.serving.engines.engine import Sampling

NOBODY = "none"
MOST_TOKENS = 512  # of one click; the API gives more
LOADING = '<p class="note">The model is still being loaded.</p>'
NO_TOKENS = '<p class="note">The tokenizer of this model is not at hand; it runs behind another server.</p>'
LONG = '<p class="note">The prompt is too long to be shown by its tokens.</p>'
SIDES = 2
DRAWN_SEEDS = 2**31
SEED_DIGITS = 18  # engines take 63 bits
CUT_CHARS = 20_000  # of a prompt that is cut with every keystroke


def demo_page(service: Service, folders: Mapping[str, Path | None]) -> gr.Blocks:
    """Build the page over a service; `folders` are those of its models, where they have one, for languages and card."""
    return Page(service, folders).built()


class Page:
    """What the page knows: the service, what is being written for whom, and what the openings cost each tokenizer."""

    def __init__(self, service: Service, folders: Mapping[str, Path | None]) -> None:
        self.service, self.folders = service, folders
        self.names = list(service.models)
        self.codes = shown_languages(folders.get(name) for name in self.names)
        self.writings: dict[str, Writing] = {}
        self.costs: dict[str, dict[str, Cost]] = {}

    def built(self) -> gr.Blocks:
        with gr.Blocks(title="Polyglot", analytics_enabled=False, fill_width=True) as blocks:
            gr.HTML(head(self.names, self.folders))
            with gr.Row(equal_height=False, elem_id="main"):
                with gr.Column(scale=5, min_width=320, elem_id="left"):
                    prompt, write, stop = self.prompt_box()
                    with gr.Row(equal_height=True, elem_id="answers"):
                        answers = [self.answer_box(place) for place in range(SIDES)]
                    with gr.Accordion("How the prompt was cut into tokens", elem_id="tokens", elem_classes="below"):
                        tokens = gr.HTML()
                with gr.Column(scale=2, min_width=270, elem_id="right"):
                    models, settings = self.model_boxes(), self.setting_boxes()
            if self.service.reviews:
                self.review_box()
            with gr.Accordion("What the guard checks", open=False, elem_classes="below"):
                gr.HTML(guard_note(self.service.guard))
            gr.on(
                [write.click, prompt.submit],
                self.answer,
                [prompt, *models, *settings],
                [*answers, write, stop],
                show_progress="hidden",
                concurrency_limit=None,
                api_visibility="private",
            )
            stop.click(self.stop, show_progress="hidden", api_visibility="private")
            gr.on(
                [blocks.load, prompt.change, *(box.change for box in models)],
                self.cut,
                [prompt, *models],
                tokens,
                show_progress="hidden",
                trigger_mode="always_last",
                concurrency_limit=None,
                api_visibility="private",
            )
            models[1].change(
                lambda beside: gr.HTML(empty_panel(beside), visible=beside != NOBODY),
                models[1],
                answers[1],
                api_visibility="private",
            )
        return blocks.queue(default_concurrency_limit=None, api_open=False)

    def prompt_box(self) -> tuple[gr.Textbox, gr.Button, gr.Button]:
        prompt = gr.Textbox(
            example(self.codes[0]),
            label="The beginning of a text",
            placeholder="Write a beginning, or take one of the examples below.",
            info="Shift with Enter writes, too.",
            lines=4,
            max_lines=12,
            elem_id="prompt",
            html_attributes=gr.InputHTMLAttributes(spellcheck=False),
        )
        with gr.Row(elem_classes="chips"):
            for code in self.codes:
                text = json.dumps(example(code))
                chip = gr.Button(languages()[code].name, size="sm", elem_id=f"example-{code}")
                chip.click(None, None, prompt, js=f"() => {text}", api_visibility="private")
        with gr.Row():
            write = gr.Button("Write", variant="primary", elem_id="write", scale=3, min_width=100)
            stop = gr.Button("Stop", interactive=False, elem_id="stop", scale=1, min_width=80)
        return prompt, write, stop

    def answer_box(self, place: int) -> gr.HTML:
        shown = place < len(self.names)
        return gr.HTML(empty_panel(self.names[place] if shown else ""), visible=shown, min_width=280, elem_id=f"answer-{place}")

    def model_boxes(self) -> list[gr.Dropdown]:
        several = len(self.names) > 1
        with gr.Group(visible=several):
            first = gr.Dropdown(self.names, value=self.names[0], label="Model", visible=several, elem_id="model")
            beside = gr.Dropdown(
                [NOBODY, *self.names],
                value=self.names[1] if several else NOBODY,
                label="Beside it",
                visible=several,
                elem_id="beside",
            )
        return [first, beside]

    def setting_boxes(self) -> list[gr.components.Component]:
        """Return the settings in the order of `sampling_of`; one that no model here honours cannot be moved."""
        engines = self.service.models.values()
        honoured = frozenset[str]().union(*(engine.honours for engine in engines))
        most = min(MOST_TOKENS, max(engine.context for engine in engines))

        def slider(name: str, label: str, bounds: tuple[float, float, float], value: float, info: str) -> gr.Slider:
            low, high, step = bounds
            start = value if name in honoured else getattr(Sampling(), name)
            live = name in honoured
            return gr.Slider(low, high, start, step=step, label=label, info=info, interactive=live, elem_id=f"setting-{name}")

        with gr.Group():
            sliders = [
                slider("max_tokens", "Tokens at most", (1, most, 1), min(80, most), "A token is some letters."),
                slider("temperature", "Temperature", (0, 2, 0.05), 0.8, "0 takes the likeliest token."),
                slider("top_p", "Top-p", (0.05, 1, 0.05), 0.95, "The likeliest of this total probability."),
                slider("top_k", "Top-k", (0, 200, 1), 0, "So many of the likeliest; 0 is all."),
                slider("repetition_penalty", "Repetition penalty", (1, 2, 0.05), 1.1, "1 is none."),
            ]
            seed = gr.Textbox(
                label="Seed",
                info="A number; the same one gives the same text." if "seed" in honoured else "No model here can be given one.",
                interactive="seed" in honoured,
                elem_id="setting-seed",
            )
            stops = gr.Textbox(
                label="Stop at", lines=2, max_lines=4, info="Up to four strings, one a line.", elem_id="setting-stop"
            )
        return [*sliders, seed, stops]

    def review_box(self) -> None:
        with gr.Accordion("Look up a review", open=False, elem_classes="below", elem_id="review"):
            with gr.Row(equal_height=True):
                number = gr.Textbox(label="Number of the review", max_length=64, scale=4, elem_id="review-number")
                look = gr.Button("Look up", scale=1, elem_id="review-look")
            outcome = gr.HTML()
            gr.on([look.click, number.submit], self.released, number, outcome, api_visibility="private")

    async def answer(self, request: gr.Request, prompt: str, first: str, beside: str, *given: Any) -> AsyncIterator[list[Any]]:
        """Yield the drawn answers and the two buttons until all is written, stopped or refused."""
        names = chosen(first, beside)
        unused = [gr.skip()] * (SIDES - len(names))
        try:
            drawn = secrets.randbelow(DRAWN_SEEDS)
            samplings = {name: sampling_of(given, drawn if "seed" in self.service.models[name].honours else None) for name in names}
        except UserError as refusal:
            yield [*(drawn_panel(Panel(model=name, refusal=str(refusal))) for name in names), *unused, gr.skip(), gr.skip()]
            return
        writing = Writing(self.service, samplings, prompt, client_of(request), session_of(request))
        self.writings[session_of(request)] = writing
        buttons = [gr.Button(interactive=False), gr.Button(interactive=True)]
        try:
            async with aclosing(writing.states()) as states:
                async for panels in states:
                    yield [*map(drawn_panel, panels), *unused, *buttons]
                    buttons = [gr.skip(), gr.skip()]
        finally:
            self.writings.pop(session_of(request), None)
        yield [*map(drawn_panel, writing.panels), *unused, gr.Button(interactive=True), gr.Button(interactive=False)]

    async def stop(self, request: gr.Request) -> None:
        if writing := self.writings.get(session_of(request)):
            writing.stop()

    def cut(self, prompt: str, first: str, beside: str) -> str:
        """Draw the prompt as each chosen model's tokenizer cut it, and what the openings cost it."""
        names = chosen(first, beside)
        titles = [f"<h4>{escaped(name)}</h4>" if len(names) > 1 else "" for name in names]
        return "".join(title + self.cut_by(name, prompt) for title, name in zip(titles, names, strict=True))

    def cut_by(self, name: str, prompt: str) -> str:
        engine = self.service.models[name]
        if not engine.ready:
            return LOADING
        if len(prompt) > CUT_CHARS:
            return LONG
        tokens = engine.tokens(prompt)
        if tokens is None:
            return NO_TOKENS
        if name not in self.costs:
            texts = {code: text for code, text in openings().items() if code in (*self.codes, REFERENCE)}
            self.costs[name] = {code: cost(text, engine.tokens(text) or []) for code, text in texts.items()}
        return token_view(prompt, tokens, self.costs[name]) + openings_table(self.costs[name])

    async def released(self, request: gr.Request, item: str) -> str:
        """Say what became of a text that was held."""
        try:
            self.service.rate.take(client_of(request))
        except UserError as refusal:
            return released_note(str(refusal), None)
        assert self.service.reviews is not None  # else there is no such box
        return released_note("", await asyncio.to_thread(self.service.reviews.released, item.strip()))


def chosen(first: str, beside: str) -> list[str]:
    return [first] if beside in (NOBODY, first) else [first, beside]


def client_of(request: gr.Request) -> str:
    """Return the address that the server's limits know a client without a key by."""
    return request.client.host if request.client else "unknown"


def session_of(request: gr.Request) -> str:
    return request.session_hash or ""


def sampling_of(given: Sequence[Any], drawn_seed: int | None) -> Sampling:
    """Return the settings as `setting_boxes` orders them; raises UserError for values out of bounds.

    Where no seed was written, one that was drawn is used and shown, so that the text can be had again.
    """
    max_tokens, temperature, top_p, top_k, repetition_penalty, seed, stops = given
    return Sampling(
        max_tokens=int(max_tokens),
        temperature=temperature,
        top_p=top_p,
        top_k=int(top_k),
        repetition_penalty=repetition_penalty,
        seed=whole_number(seed) if (seed or "").strip() else drawn_seed,
        stop=tuple(line for line in (stops or "").splitlines() if line),
    )


def whole_number(seed: str) -> int:
    if not (seed.strip().isdecimal() and len(seed.strip()) <= SEED_DIGITS):
        raise UserError(f"the seed is {seed[:40]!r}; write a whole number of up to {SEED_DIGITS} digits, or leave it empty")
    return int(seed)
