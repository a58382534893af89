"""The bodies of requests and answers as the OpenAPI schema shows them, with the names and bounds of OpenAI's completions.

Every parameter of OpenAI's that is not honoured is either unknown here or bound to the value that changes nothing, so that it
is refused by its name and never ignored. Bounds stand here for the schema and in `Sampling` for everybody; a test holds them
together.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from polyglot_lm.serving.completion import CompletionRequest
from polyglot_lm.serving.engines.engine import Sampling


def whole_characters(text: str) -> str:
    """Refuse half a surrogate pair, which JSON can write (`"\\ud800"`) and no text holds."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("it holds half of a surrogate pair, which is no character")
    return text


Words = Annotated[str, AfterValidator(whole_characters)]
Stop = Annotated[str, Field(min_length=1), AfterValidator(whole_characters)]


MAX_SEED = (1 << 53) - 1
"""The largest integer on which all programs that read JSON agree."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def whole_numbers(cls, values: Any) -> Any:
        """Take 2.0 for 2, which JSON does not tell apart."""
        if not isinstance(values, dict):
            return values
        whole = {name: int(value) for name, value in values.items() if isinstance(value, float) and value.is_integer()}
        return values | whole


class StreamOptions(Strict):
    include_usage: bool = Field(False, description="Send the counts of tokens in a chunk of their own before [DONE].")


class CompletionBody(Strict):
    """What `POST /v1/completions` takes."""

    model: Words = Field(description="A model of /v1/models.")
    prompt: Words | Annotated[list[Words], Field(min_length=1, max_length=16)] = Field(
        description="One text or several; no token ids."
    )
    max_tokens: int | None = Field(None, ge=1, description="16 if not said; with the prompt's at most the model's context.")
    temperature: float | None = Field(None, ge=0, le=2, description="0 takes the likeliest token; 1 if not said.")
    top_p: float | None = Field(None, gt=0, le=1, description="Draw from the likeliest tokens of this total probability.")
    top_k: int | None = Field(None, ge=0, description="Draw from so many likeliest tokens; 0 from all.")
    repetition_penalty: float | None = Field(
        None, gt=0, le=2, description="Divide the scores of tokens that were there; 1 is none."
    )
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="The same seed gives the same text.")
    stop: Stop | Annotated[list[Stop], Field(min_length=1, max_length=4)] | None = Field(
        None, description="End before any of these."
    )
    logprobs: int | None = Field(None, ge=0, le=5, description="Give the log-probability of each token and so many likeliest.")
    n: int | None = Field(None, ge=1, le=16, description="Completions of each prompt.")
    echo: bool | None = Field(None, description="Send the prompt before its completion.")
    stream: bool | None = Field(None, description="Send the text as it is written, as server-sent events.")
    stream_options: StreamOptions | None = None
    frequency_penalty: float | None = Field(None, ge=0, le=0, description="Not offered: 0 or nothing.")
    presence_penalty: float | None = Field(None, ge=0, le=0, description="Not offered: 0 or nothing.")
    best_of: int | None = Field(None, ge=1, le=1, description="Not offered: 1 or nothing.")
    user: Words | None = Field(None, max_length=256, description="Your own user: the models are fair between them.")
    suffix: None = Field(None, description="Not offered.")
    logit_bias: None = Field(None, description="Not offered.")

    def request(self) -> CompletionRequest:
        given = {name: getattr(self, name) for name in Sampling.__slots__ if getattr(self, name) is not None}
        if isinstance(self.stop, str | list):
            given["stop"] = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)
        prompts = (self.prompt,) if isinstance(self.prompt, str) else tuple(self.prompt)
        return CompletionRequest(
            model=self.model, prompts=prompts, sampling=Sampling(**given), n=self.n or 1, echo=bool(self.echo), user=self.user or ""
        )


class Logprobs(BaseModel):
    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class GuardNotice(BaseModel):
    """What the guard did to a choice, and where a curator's decision on it can be asked for."""

    direction: Literal["prompt", "completion"]
    action: Literal["allow", "mask", "hold", "refuse"]
    reasons: list[str]
    enforced: bool = Field(description="False where the guard only logs: the text is unchanged.")
    review: str | None = None


class CompletionChoice(BaseModel):
    text: str
    index: int
    logprobs: Logprobs | None = None
    finish_reason: Literal["stop", "length", "content_filter"] | None = None
    guard: list[GuardNotice] | None = Field(None, description="Only where the guard found something.")


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(BaseModel):
    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    context: int = Field(description="Tokens of prompt and completion together.")


class Models(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


class Released(BaseModel):
    """A completion that was held back, after a curator let it go."""

    id: str
    object: Literal["review"] = "review"
    text: str


class Status(BaseModel):
    status: Literal["ok", "loading", "draining"]


class ErrorDetails(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    error: ErrorDetails


Json = dict[str, Any]
