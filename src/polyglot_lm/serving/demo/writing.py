"""Answers while they are written: tasks read the service's events, the page draws what is new.

One task a model folds events into its `Panel`. Drawing is apart from reading, at most every `DRAW_SECONDS`, so that a fast model
does not spend the processor on pages; the last state is always drawn. Stopping, leaving the page and an error all end the
tasks, and a task that ends closes the service's iterator, which cancels the engine's stream.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.completion import CompletionRequest, Service
from polyglot_lm.serving.demo.panels import Panel
from polyglot_lm.serving.engines.engine import Sampling

DRAW_SECONDS = 0.06
FAILED = "The server failed at this; its operator finds the reason in the log."


class Writing:
    """The answers of one click, one a model, to the same prompt."""

    def __init__(self, service: Service, samplings: Mapping[str, Sampling], prompt: str, client: str, user: str = "") -> None:
        self.service, self.client, self.user = service, client, user
        self.panels = [Panel(model=name, prompt=prompt, seed=one.seed) for name, one in samplings.items()]
        self.news = asyncio.Event()
        self.tasks = [asyncio.create_task(self.read(place, samplings[panel.model])) for place, panel in enumerate(self.panels)]

    async def read(self, place: int, sampling: Sampling) -> None:
        started = time.monotonic()
        panel = self.panels[place]
        request = CompletionRequest(model=panel.model, prompts=(panel.prompt,), sampling=sampling, user=self.user)
        try:
            async with aclosing(self.service.complete(request, self.client)) as events:
                async for event in events:
                    self.show(place, self.panels[place].after(event, time.monotonic() - started))
        except asyncio.CancelledError:
            self.show(place, replace(self.panels[place], stopped=True))
        except UserError as refusal:
            self.show(place, replace(self.panels[place], refusal=str(refusal)))
        except Exception:
            self.show(place, replace(self.panels[place], refusal=FAILED))
            raise

    def show(self, place: int, panel: Panel) -> None:
        self.panels[place] = panel
        self.news.set()

    def stop(self) -> None:
        """End what is not finished; the panels say so."""
        for place, task in enumerate(self.tasks):
            if task.cancel() and not self.panels[place].ended:  # a task that never ran cannot say it itself
                self.show(place, replace(self.panels[place], stopped=True))

    async def states(self) -> AsyncGenerator[list[Panel], None]:
        """Yield the panels when there is news, the last time when all tasks have ended; raises what a task failed with."""
        end = asyncio.gather(*self.tasks, return_exceptions=True)
        end.add_done_callback(lambda _: self.news.set())
        try:
            yield list(self.panels)
            while not end.done():
                await self.news.wait()
                self.news.clear()
                yield list(self.panels)
                await asyncio.sleep(DRAW_SECONDS)
            yield list(self.panels)
        finally:
            self.stop()
        for task in self.tasks:
            if not task.cancelled():
                task.result()
