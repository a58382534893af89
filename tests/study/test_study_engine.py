"""The study's step and scores are those of the project: losses as `training.loop` has them, bits as `evaluation` has them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_study import LANGUAGES, PREMIUMS, VOCAB_SIZE, StudyData, make_data, protocol

from polyglot_lm.evaluation.content import OurScorer, text_bits
from polyglot_lm.mixture import Uniform, plan_mixture
from polyglot_lm.model.transformer import GPTNeoX
from polyglot_lm.pipeline import Runtime
from polyglot_lm.shards import read_metrics
from polyglot_lm.study.engine import Lane, drawn_weights
from polyglot_lm.study.heldout import place_all
from polyglot_lm.study.plan import Choice, Plan
from polyglot_lm.study.protocol import Training, model_of
from polyglot_lm.study.reading import Reading
from polyglot_lm.tokenizer import Tokenizer
from polyglot_lm.training import loop
from polyglot_lm.training.config import TrainingConfig

CPU = torch.device("cpu")
MODEL = model_of("tiny", vocab_size=VOCAB_SIZE, context=32)


@pytest.fixture(scope="module")
def study_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("study")
    make_data(root)
    return root


@pytest.fixture(scope="module")
def data(study_root: Path) -> StudyData:
    return StudyData(study_root / "data")


def uniform(data: StudyData) -> Training:
    return Plan(protocol(content=3000.0), data, {}).arm("arms", "uniform", 1, Choice(4, 0.004), size="tiny")


def trained(data: StudyData, training: Training, lane: Lane, folder: Path) -> Reading:
    reading = Reading(data, training, mixtures=folder / "mixtures", context=32, max_epochs=1.5)
    lane.begin(drawn_weights(MODEL, training.seed), training.optim(), training.steps)
    for steps in (3, training.steps - 3):  # fed in two stretches, as under a controller
        lane.feed(reading.next(steps * training.batch_windows))
        lane.advance()
    return reading


def lane_for(training: Training, max_windows: int = 200) -> Lane:
    return Lane(MODEL, training.optim(), batch_windows=training.batch_windows, max_windows=max_windows, device=CPU)


def test_losses_are_those_of_the_training_loop(
    data: StudyData, study_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = uniform(data)
    lane = lane_for(training)
    trained(data, training, lane, tmp_path)
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    tokens = {code: study_root / "tokens" / code for code in LANGUAGES}
    mixture, out = tmp_path / "mixture", tmp_path / "training"
    mixture.mkdir()
    out.mkdir()
    plan_mixture(mixture, tokens=tokens, policy=Uniform(unit="english_bytes"), seed=1)
    loop.train(
        out,
        mixture=mixture,
        tokens=tokens,
        tokenizer=study_root / "tokenizer",
        corpora={code: study_root / "corpus" / code for code in LANGUAGES},
        model=MODEL,
        optim=training.optim(),
        training=TrainingConfig(
            steps=training.steps,
            batch_windows=training.batch_windows,
            precision="fp32",
            control_every=100,
            seed=1,
            z_loss=0.0,
            on_spike="skip",
            milestone_every=None,
        ),
        runtime=Runtime(threads=1, device="cpu"),
    )
    theirs = [line["loss"] for line in read_metrics(out) if line.get("loss") is not None]
    ours = lane.outcome().losses
    assert len(theirs) == training.steps == len(ours) > 15
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_a_lane_forgets_the_training_before(data: StudyData, tmp_path: Path) -> None:
    training = uniform(data)
    lane = lane_for(training)
    trained(data, training, lane, tmp_path)
    first = lane.outcome().losses
    trained(data, training.with_seed(2), lane, tmp_path)
    other = lane.outcome().losses
    trained(data, training, lane, tmp_path)
    assert np.array_equal(lane.outcome().losses, first)
    assert not np.array_equal(other, first)


def test_bits_are_those_of_the_evaluation(data: StudyData, study_root: Path) -> None:
    network = GPTNeoX(MODEL)
    for parameter, values in zip(network.parameters(), drawn_weights(MODEL, 3), strict=True):
        parameter.data.copy_(values)
    tokenizer = Tokenizer(study_root / "tokenizer")
    scorer = OurScorer(network, tokenizer)
    heldout = data.heldout("parity")
    placed = place_all(heldout, end_id=tokenizer.end_id, window_english_bytes=40, byte_premiums=PREMIUMS, context=32, device=CPU)
    assert {split for split, _ in heldout} == {"test", "select", "control", "flores"}
    cut = 0
    for (split, code), documents in heldout.items():
        texts = [tokenizer.decode_bytes(ids.tolist()).decode() for ids in documents.ids]
        expected, num_cut = text_bits(scorer, scorer.encode(texts), 40 * PREMIUMS[code])
        cut += num_cut
        found = placed[split, code].bits(network, low_precision=False).numpy()
        np.testing.assert_allclose(found, [each.sum() for each in expected], rtol=1e-5)
        assert placed[split, code].num_bytes.tolist() == [len(text.encode()) for text in texts]
    assert cut > 0  # windows that the context cuts are among them


def test_arms_of_one_seed_read_the_same_documents_of_a_language(data: StudyData, tmp_path: Path) -> None:
    plan = Plan(protocol(), data, {})

    def of_english(arm: str, seed: int) -> list[bytes]:
        training = plan.arm("arms", arm, seed, Choice(4, 0.004), size="tiny")
        reading = Reading(data, training, mixtures=tmp_path / "mixtures", context=32, max_epochs=1.5)
        batch = reading.sampler.next_batch(training.steps * training.batch_windows)
        english = reading.sampler.names.index("en")
        return [row.tobytes() for row, source in zip(batch.tokens, batch.sources, strict=True) if source == english]

    less, more = of_english("uniform", 1), of_english("bloom", 1)
    assert len(less) < len(more)
    assert more[: len(less)] == less
    assert of_english("uniform", 2) != less
