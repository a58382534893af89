"""The quickstart's steps in small, on the tiny corpora: three languages, 384 tokens, two layers of 32, four training steps."""

from collections.abc import Mapping
from pathlib import Path

from conftest import write_corpus

from polyglot_lm.evaluation.heldout import evaluate_heldout
from polyglot_lm.evaluation.references import measure_references
from polyglot_lm.evaluation.report import balance_report
from polyglot_lm.mixture import Uniform, plan_mixture
from polyglot_lm.model.config import neox
from polyglot_lm.pipeline import Counters, Runtime, Step, run_steps, stage
from polyglot_lm.release.export import export_hf
from polyglot_lm.tokenizer import encode_corpus, train_tokenizer
from polyglot_lm.training.config import TrainingConfig
from polyglot_lm.training.loop import train
from polyglot_lm.training.optim import OptimConfig

NAMES = {"ko": "한국어", "th": "ไทย", "en": "English"}
PREMIUMS = {"ko": 1.3, "th": 2.8, "en": 1.0}
DOCUMENTS = {"ko": 60, "th": 60, "en": 40}  # English has four test documents, the others six: four are parallel
STEPS, BATCH, CONTEXT = 4, 4, 32
OPTIM = OptimConfig(
    optimizer="adamw",
    learning_rate=0.01,
    matrix_learning_rate=0.02,
    schedule="wsd",
    warmup_steps=1,
    decay_fraction=0.4,
    final_rate=0.0,
    weight_decay=0.1,
    beta1=0.9,
    beta2=0.95,
    clip_norm=1.0,
)
TRAINING = TrainingConfig(
    steps=STEPS,
    batch_windows=BATCH,
    precision="fp32",
    control_every=2,
    seed=1,
    z_loss=0.0,
    on_spike="skip",
    milestone_every=None,
)


@stage(version=1)
def tiny_corpus(out: Path, *, code: str, count: int) -> Counters:
    write_corpus(out, code, count)
    return {"documents": count}


def steps() -> tuple[Step, Step]:
    """Return the report and the export."""
    corpora = {code: tiny_corpus.step(f"corpus/{code}", code=code, count=count) for code, count in DOCUMENTS.items()}
    tokenizer = train_tokenizer.step("tokenizer", corpora=corpora, byte_premiums=PREMIUMS, vocab_size=384, max_english_bytes=20_000)
    tokens = {
        code: encode_corpus.step(
            f"tokens/{code}", corpus=corpus, tokenizer=tokenizer, language=code, source="tiny", byte_premium=PREMIUMS[code]
        )
        for code, corpus in corpora.items()
    }
    folders = {code: (step,) for code, step in tokens.items()}
    mixture = plan_mixture.step("mixture", tokens=tokens, policy=Uniform(unit="english_bytes"), seed=1)
    training = train.step(
        "training",
        mixture=mixture,
        tokens=tokens,
        tokenizer=tokenizer,
        corpora=corpora,
        model=neox(vocab_size=384, context=CONTEXT, num_layers=2, width=32, num_heads=4, rotary_dims=4),
        optim=OPTIM,
        training=TRAINING,
    )
    references = measure_references.step(
        "references", corpora=corpora, tokens=folders, tokenizer=tokenizer, max_train_bytes=32_000_000
    )
    heldout = evaluate_heldout.step(
        "heldout", model=training, tokenizer=tokenizer, corpora=corpora, byte_premiums=PREMIUMS, window_english_bytes=64
    )
    report = balance_report.step(
        "report",
        names=NAMES,
        corpora=corpora,
        tokens=folders,
        mixture=mixture,
        training=training,
        references=references,
        heldout=heldout,
    )
    export = export_hf.step(
        "model", title="Tiny", names=NAMES, training=training, tokenizer=tokenizer, corpora=corpora, report=report
    )
    return report, export


def run_chain(root: Path) -> Mapping[str, Path]:
    """Carry the steps out below `root`; return their folders by name."""
    return run_steps(steps(), Runtime(root=root, workers=1, threads=1, device="cpu"))
