"""Sets, batches and training of labels without times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.commands import make_prepared, message_of

from speechattn.audio.features import FrontEndConfig
from speechattn.encoder.config import EncoderConfig
from speechattn.errors import ConfigError, CorpusError, ModelError
from speechattn.heads.config import CtcHead, DecoderHead, LabelHead
from speechattn.studies.sequence_data import SequenceBatches, SequenceSet
from speechattn.studies.sequence_training import SequenceTrainer, quick_labels, train_head
from speechattn.training.batches import PADDING
from speechattn.training.config import RecipeConfig
from speechattn.training.config_sections import AugmentationConfig, TrainingConfig

pytestmark = pytest.mark.studies

DIM, NAMES = 20, ("x", "y", "z")
NOTHING = AugmentationConfig(
    speed=0.0, vocal_tract=0.0, gain_db=0.0, channel_db=0.0, noise_probability=0.0,
    band_limit_probability=0.0, time_masks=0, frequency_masks=0,
)  # fmt: skip
DECODER = DecoderHead(width=32, attention=16, kernel=9, channels=4, dropout=0.0)
CPU = torch.device("cpu")


def config(**changes) -> RecipeConfig:
    training = {"steps": 6, "batch_frames": 300, "crop_frames": 100, "learning_rate": 0.01}
    training |= {"warmup_steps": 2, "evaluate_every": 2, "checkpoint_every": 2}
    training |= changes.pop("training", {})
    values = {
        "train": ("c/train",), "dev": ("c/dev",), "test": ("c/test",),
        "front_end": FrontEndConfig(num_mel_bins=DIM), "augmentation": NOTHING,
        "encoder": EncoderConfig(
            width=16, heads=2, feedforward=32, blocks=1, window=(8, 8), stack=2, dropout=0.0
        ),
    }  # fmt: skip
    return RecipeConfig(**{**values, "training": TrainingConfig(**training), **changes})


def sequences(folder, count: int, seed: int, longest: int = 3) -> SequenceSet:
    """Each label is 8 frames with energy in bins of its own; a gap of 4 frames follows it."""
    random, utterances, labels = np.random.default_rng(seed), [], {}
    for number in range(count):
        string = random.integers(len(NAMES), size=random.integers(1, longest + 1))
        frames = random.standard_normal((12 * len(string), DIM)) * 0.3
        for i, label in enumerate(string):
            frames[12 * i : 12 * i + 8, 6 * label : 6 * label + 6] += 3
        utterances.append((frames.astype(np.float32), np.zeros(len(frames), dtype=np.int64)))
        labels["c", f"u{number}"] = tuple(string.tolist())
    return SequenceSet(make_prepared(folder, utterances), labels, NAMES)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return sequences(folder / "train", 60, 0), sequences(folder / "dev", 20, 1)


def trainer(sets, path, head=None, **changes) -> SequenceTrainer:
    return SequenceTrainer(
        config(**changes), *sets, head or CtcHead(), checkpoint=path / "c.safetensors", device=CPU
    )


def test_batches_hold_whole_utterances_and_their_own_labels(sets):
    train, _ = sets
    batches = SequenceBatches(train, config())
    strings = {e.frames: set() for e in train.entries}
    for entry in train.entries:
        strings[entry.frames].add(tuple(train.labels(entry).tolist()))
    seen = 0
    while seen < len(train):
        batch = batches.batch(seen)
        for labels, length, frames in zip(batch.labels, batch.lengths.tolist(), batch.frames):
            string = tuple(labels[labels != PADDING].tolist())
            assert string in strings[length] and len(string) * 12 == length
            for i, label in enumerate(string):  # the frames are those of the labels
                assert frames[12 * i : 12 * i + 8, 6 * label].mean() > 1.5
        seen += len(batch.lengths)


def test_another_tempo_changes_frames_and_no_labels(sets):
    faster = replace(NOTHING, speed=0.3)
    batch = SequenceBatches(sets[0], config(augmentation=faster)).batch(0)
    counts = (batch.labels != PADDING).sum(1)
    assert (batch.lengths != 12 * counts).any()
    assert (batch.lengths >= 12 * counts / 1.3 - 1).all()


def test_other_labels_of_the_same_frames_have_another_digest(sets):
    train, _ = sets
    changed = {(e.corpus, e.id): train.labels(e)[::-1].tolist() for e in train.entries}
    other = SequenceSet(train._prepared, changed, NAMES)
    assert SequenceBatches(train, config()).digest != SequenceBatches(other, config()).digest


def test_utterances_without_labels_are_left_out_and_a_set_of_none_refused(sets):
    train, _ = sets
    labels = {(e.corpus, e.id): (0,) for e in train.entries[:3]} | {("c", "u3"): ()}
    assert len(SequenceSet(train._prepared, labels, NAMES)) == 3
    with pytest.raises(CorpusError, match="none of 60 utterances has labels"):
        SequenceSet(train._prepared, {}, NAMES)
    assert len(train.where(lambda entry: entry.id in ("u1", "u5"))) == 2
    with pytest.raises(CorpusError):
        train.where(lambda entry: False)


def test_what_would_part_labels_from_their_frames_is_refused(sets):
    with pytest.raises(ConfigError) as caught:
        SequenceBatches(sets[0], config(training={"crop_frames": 30}))
    assert "training.crop_frames: 30, but c u" in message_of(caught)
    for name in ("silence_probability", "shuffle_probability"):
        with pytest.raises(ConfigError) as caught:
            SequenceBatches(sets[0], config(augmentation=replace(NOTHING, **{name: 0.1})))
        assert message_of(caught).startswith(f"augmentation.{name}: 0.1; 0 where frames have no")
    for name, model in (
        ("consistency_weight", {}),
        ("start_share", {"start_from": "x"}),
        ("teacher_weight", {"teacher": "x"}),
    ):
        given = config(training={name: 0.1}, **model)
        with pytest.raises(ConfigError) as caught:
            SequenceBatches(sets[0], given)
        assert message_of(caught).startswith(f"training.{name}: 0.1; 0 where frames have no")


@pytest.mark.parametrize(
    ("head", "steps"), [(CtcHead(), 80), (DECODER, 150)], ids=["ctc", "decoder and ctc"]
)
def test_strings_are_learnt_without_times(sets, tmp_path, head, steps):
    settings = {"steps": steps, "evaluate_every": steps, "batch_frames": 1000}
    settings["learning_rate"] = 0.02
    model = trainer(sets, tmp_path, head, training=settings).run()
    dev, right = sets[1], 0
    for entry in dev.entries:
        (vectors,) = model.each(torch.from_numpy(dev.frames(entry))[None])
        decode = model.ctc_strings if model.decoder is None else model.decoder_strings
        right += decode(vectors)[0].labels == tuple(dev.labels(entry).tolist())
    assert right >= 0.85 * len(dev)


@pytest.mark.parametrize("pooling", ["attention", "mean"])
def test_one_label_is_learnt(tmp_path, pooling):
    single = [sequences(tmp_path / name, 40, i, longest=1) for i, name in enumerate(("a", "b"))]
    run = trainer(single, tmp_path, LabelHead(pooling, 2), training={"steps": 12})
    assert run.evaluate() > 0.3
    run.run()
    assert run.history[-1]["dev_error_rate"] < 0.1
    entry = single[1].entries[0]
    frames = torch.from_numpy(single[1].frames(entry))[None]
    (found,) = quick_labels(run.averaged(), frames, torch.tensor([entry.frames]))
    assert found == single[1].labels(entry).tolist()


@pytest.mark.parametrize(
    "head", [CtcHead(), DecoderHead(width=8, attention=4)], ids=["ctc", "both"]
)
def test_resuming_gives_exactly_what_not_stopping_gives(sets, tmp_path, head):
    whole = trainer(sets, tmp_path, head)
    expected = whole.run().state_dict()
    (tmp_path / "parts").mkdir()
    first = trainer(sets, tmp_path / "parts", head)
    for _ in range(2):
        first.losses.append(first.update())
    first.history.append(
        {"step": 2, "loss": sum(first.losses) / 2, "dev_error_rate": first.evaluate()}
    )
    first.losses = []
    first.save()
    second = trainer(sets, tmp_path / "parts", head)
    found = second.run().state_dict()
    assert second.history == whole.history
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name


def test_a_checkpoint_of_another_head_is_refused(sets, tmp_path):
    trainer(sets, tmp_path, DecoderHead(width=8, ctc_weight=0.3)).save()
    with pytest.raises(ModelError, match="belongs to another"):
        trainer(sets, tmp_path, DecoderHead(width=8, ctc_weight=0.4)).load()


def test_a_decoder_may_begin_with_the_encoder_of_ctc(sets, tmp_path):
    start = trainer(sets, tmp_path).run()
    run = SequenceTrainer(
        config(), *sets, DECODER, checkpoint=tmp_path / "d", device=CPU, start=start
    )
    for name, value in start.state_dict().items():
        assert torch.equal(run.model.state_dict()[name], value), name
        if name in run.average:
            assert torch.equal(run.average[name], value), name
    random = SequenceTrainer(config(), *sets, DECODER, checkpoint=tmp_path / "d", device=CPU)
    assert run.inputs != random.inputs


def test_a_training_of_other_settings_begins_afresh_and_says_so(sets, tmp_path):
    said = []

    def run(steps: int, force: bool = False):
        make = lambda path: SequenceTrainer(
            config(training={"steps": steps}), *sets, CtcHead(), checkpoint=path, device=CPU
        )
        return train_head("ctc-0", tmp_path, make, force=force, report=said.append)

    first, _ = run(4)
    run(4)
    assert said == []
    again, _ = run(4, force=True)
    assert torch.equal(first.classify.weight, again.classify.weight)
    run(6)
    assert len(said) == 1 and "training afresh" in said[0]
    assert (tmp_path / "train/ctc-0/previous.safetensors").is_file()
    assert (tmp_path / "models/ctc-0/model.safetensors").is_file()
