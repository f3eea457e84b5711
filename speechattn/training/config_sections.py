"""The sections of a recipe about its data, training, augmentation and decoder.

Each section checks itself when it is made, so that an impossible value is found before training.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from speechattn.checks import is_finite_number, tuples
from speechattn.decoder.lm.ngrams import LONGEST_ORDER
from speechattn.errors import ConfigError
from speechattn.schema import above, at_least, between, check_fields, one_of, rule
from speechattn.segments import SHIFT_MS

# Decoder options that are tuned on dev.
TUNED = ("bigram_scale", "prior_scale", "insertion_penalty", "duration_scale", "word_scale",
         "unknown_word")  # fmt: skip
# Of them, for reading with phone n-grams alone, and last without these.
READING_TUNED = ("phones_scale", "phones_penalty", "alone_penalty")
MAX_DB = 100.0  # dB; with more, the energy of a recording overflows
WARP = between(0, 0.5, below=True, text="from 0 to 0.5")
LEVEL = between(0, MAX_DB, text=f"from 0 to {MAX_DB:g} dB")
SHARE = between(0, 1, text="a share from 0 to 1")
WEIGHT = rule(lambda v: is_finite_number(v) and 0 < v < 1, "above 0 and below 1")


@dataclass(frozen=True)
class SynthConfig:
    """The corpus the recipe synthesises when it is not given one.

    Attributes:
        train, dev, test: number of utterances, at least 1.
    """

    train: int = field(default=1200, metadata=at_least(1))
    dev: int = field(default=60, metadata=at_least(1))
    test: int = field(default=120, metadata=at_least(1))

    def __post_init__(self) -> None:
        check_fields(self, "synth.")


@dataclass(frozen=True)
class TrainingConfig:
    """How the model is trained.

    Attributes:
        steps: number of updates. A training of fewer steps goes on if this is raised.
        batch_frames: largest number of 10 ms frames in a batch, padding included. It counts before
            ``augmentation.speed`` changes the tempo; a batch may then have up to 1 / (1 - speed)
            times as many.
        crop_frames: longest part of an utterance in a batch, in 10 ms frames, before the tempo is
            changed.
        max_silence_frames: longer silences are shortened to this before training; 0 keeps them.
        learning_rate: learning rate at its peak.
        warmup_steps: updates until the peak; after it the rate follows half a cosine down to zero.
            A run of fewer steps ends on the way up.
        optimizer: ``"adamw"``, or ``"muon"`` for the matrices within the layers, see
            :mod:`speechattn.training.optim`.
        weight_decay: weight decay of the optimizer.
        label_smoothing: label smoothing of the cross-entropy.
        sequence_weight: weight of the loss over whole paths (lattice-free MMI) beside the
            cross-entropy; 0 for none. It is meant for a model that was first trained with the
            cross-entropy.
        consistency_weight: weight of the difference between two augmented versions of an utterance;
            0 for one version. With two, each utterance takes twice the room in a batch. In a model
            for any window (``any_window``), the first version has its own window and the second a
            drawn one, and only the second learns from the other.
        teacher_weight: weight of the distance from the posteriors of ``teacher``; 0 for none.
        speaker_balance: how much more often speakers come of whom a corpus has little: 0 for every
            utterance once an epoch, 1 for as much of every speaker as limits allow; values between
            are powers. Every corpus keeps its share of the frames.
        average_decay: decay of the running mean of the weights, which is evaluated and kept. At the
            beginning of a run it is lower.
        start_share: share of the weights of ``start_from`` in the weights that are kept; the rest
            are those at the end of training.
        clip_norm: largest norm of the gradients; larger ones are scaled down.
        replicas: threads that each take a part of every batch, on one core each. With 1, all cores
            share every matrix product, which is slower.
        precision: ``"fp32"``, or ``"bf16"`` for matrix products in 16 bits (weights and sums stay
            in 32). It is faster only on processors with instructions for it.
        windows: windows that a quarter of the batches of a model for any window (``any_window``)
            are seen through, each as ``encoder.window`` may be; half have the encoder's own. With
            ``consistency_weight``, three eighths and a quarter of the second versions.
        accumulate: batches whose gradients are added up for each update, for batches that do not
            fit into memory.
        patience: evaluations on dev without a better result after which training ends. The best
            weights on dev are kept, those that training began with included. 0 trains to the end
            and keeps the last.
        tensorboard: write losses, learning rate and results on dev to ``work_dir/train/events``,
            for TensorBoard.
        evaluate_every: updates between two evaluations on dev.
        checkpoint_every: updates between two checkpoints.
    """

    steps: int = field(default=1000, metadata=at_least(1))
    batch_frames: int = field(default=8000, metadata=at_least(1))
    crop_frames: int = field(default=400, metadata=at_least(1))
    max_silence_frames: int = field(default=40, metadata=at_least(0))
    optimizer: str = field(default="adamw", metadata=one_of("adamw", "muon"))
    learning_rate: float = field(default=1e-3, metadata=above(0))
    warmup_steps: int = field(default=100, metadata=at_least(0))
    weight_decay: float = field(default=0.01, metadata=at_least(0))
    label_smoothing: float = field(default=0.05, metadata=between(0, 1, below=True))
    sequence_weight: float = field(default=0.0, metadata=at_least(0))
    consistency_weight: float = field(default=0.0, metadata=at_least(0))
    teacher_weight: float = field(default=0.0, metadata=at_least(0))
    speaker_balance: float = field(default=0.0, metadata=between(0, 1))
    average_decay: float = field(default=0.995, metadata=between(0, 1, below=True))
    start_share: float = field(default=0.0, metadata=between(0, 1, below=True))
    clip_norm: float = field(default=1.0, metadata=above(0))
    replicas: int = field(default=1, metadata=at_least(1))
    precision: str = field(default="fp32", metadata=one_of("fp32", "bf16"))
    windows: tuple = ()
    accumulate: int = field(default=1, metadata=at_least(1))
    patience: int = field(default=0, metadata=at_least(0))
    tensorboard: bool = False
    evaluate_every: int = field(default=250, metadata=at_least(1))
    checkpoint_every: int = field(default=250, metadata=at_least(1))

    def __post_init__(self) -> None:
        check_fields(self, "training.")
        object.__setattr__(self, "windows", tuples(self.windows))
        if self.batch_frames < self.crop_frames:
            raise ConfigError(
                f"training.batch_frames: {self.batch_frames}; "
                f"not below training.crop_frames ({self.crop_frames})"
            )


@dataclass(frozen=True)
class AugmentationConfig:
    """What happens to log-mel frames in training; every value 0 switches its part off.

    Attributes:
        speed: largest change of tempo, as a fraction.
        vocal_tract: largest warp of the frequency axis, as a fraction.
        gain_db: standard deviation of the level, in dB.
        channel_db: standard deviation of the ripples of a smooth random filter, in dB.
        noise_probability: share of utterances with noise: noise of a random colour, or, if
            ``noise`` or ``babble`` is set, a recorded one half of the time.
        babble: number of noises of many talkers, mixed from the training set; they count among the
            recorded ones.
        noise_snr_db: lowest and highest signal-to-noise ratio, in dB.
        room_probability: share of utterances in a room.
        room_seconds: shortest and longest reverberation time, in seconds, in which the echo falls
            by 60 dB. Echoes after 0.8 s are left out.
        band_limit_probability: share of utterances that lose everything above a limit between 3.2
            and 7 kHz; half of them also lose everything below a limit between 100 and 350 Hz.
        codec_probability: share of utterances that are heard through a codec, also of cepstra: GSM,
            mu-law, Opus or MP3. ``prepare`` computes one version of each utterance; its name
            decides on the codec.
        silence_probability: share of utterances that are replaced by noise alone, labelled silence.
        shuffle_probability: share of utterances whose pieces come in another order.
        shuffle_frames: shortest such piece, in 10 ms frames; the last one may be shorter.
        time_masks: number of time masks (SpecAugment).
        time_mask_frames: each time mask has fewer frames than this, perhaps none.
        frequency_masks: number of frequency masks (SpecAugment).
        frequency_mask_bins: each frequency mask has fewer mel bins than this, perhaps none.
    """

    speed: float = field(default=0.1, metadata=WARP)
    vocal_tract: float = field(default=0.1, metadata=WARP)
    gain_db: float = field(default=6.0, metadata=LEVEL)
    channel_db: float = field(default=3.0, metadata=LEVEL)
    noise_probability: float = field(default=0.4, metadata=SHARE)
    babble: int = field(default=0, metadata=at_least(0))
    noise_snr_db: tuple = (0.0, 30.0)
    room_probability: float = field(default=0.0, metadata=SHARE)
    room_seconds: tuple = (0.2, 0.8)
    band_limit_probability: float = field(default=0.1, metadata=SHARE)
    codec_probability: float = field(default=0.0, metadata=SHARE)
    silence_probability: float = field(default=0.0, metadata=SHARE)
    shuffle_probability: float = field(default=0.0, metadata=SHARE)
    shuffle_frames: int = field(default=50, metadata=at_least(1))
    time_masks: int = field(default=2, metadata=at_least(0))
    time_mask_frames: int = field(default=12, metadata=at_least(0))
    frequency_masks: int = field(default=2, metadata=at_least(0))
    frequency_mask_bins: int = field(default=10, metadata=at_least(0))

    def __post_init__(self) -> None:
        check_fields(self, "augmentation.")
        _check_interval("augmentation.noise_snr_db", self.noise_snr_db, -MAX_DB, MAX_DB, "dB")
        _check_interval("augmentation.room_seconds", self.room_seconds, SHIFT_MS / 1000, 10.0, "s")


@dataclass(frozen=True)
class DecodingConfig:
    """The decoder: what is learned for it, and the values that are tried on dev.

    Attributes:
        keep: with ``init`` and its phones, keep its decoder: words, n-grams, weights and
            confidences. If false, all of it is estimated from the training labels and tuned.
        bigram_scale: candidates for the weight of the phone bigram or n-grams. Of all combinations
            of candidates in this section, the one with the lowest PER on dev goes into the model.
        prior_scale: candidates for the share of the log prior that is subtracted from log
            posteriors.
        insertion_penalty: candidates for the nats that each phone costs after the first.
        duration_scale: candidates for the weight of durations past the minimum.
        word_scale: candidates for the weight of words; without effect if there are none.
        unknown_word: candidates for the nats, times ``word_scale``, that it costs to begin a string
            that is no known word; without effect if there are no words.
        phones_scale, phones_penalty: candidates for ``bigram_scale`` and ``insertion_penalty`` in
            reading without words; none for the same as with words.
        alone_penalty: candidates for ``insertion_penalty`` in reading without words and n-grams.
        ngram_order: order of the phone n-grams that are counted in the training labels; with 2,
            only the bigram is used.
        ngram_least: n-grams of four phones and more with a smaller count are left out.
        english_words: number of words that are drawn from a word trigram of US English and counted
            into the n-grams; 0 for none. They need pocketsphinx and the ARPAbet phones.
        english_weight: count of each n-gram in these words.
        word_pairs: number of word pairs that the decoder knows; 0 for no words.
        word_triples: number of word triples that the decoder knows.
        texts: text files, from which the decoder learns which words follow each other, beside the
            trigram of US English. They are in UTF-8, with a sentence a line, or as a book is.
        text_weight: share of the texts in the mixture with that trigram; without effect if there
            are none.
        transcripts_weight: the same of the transcripts of the training set, each sentence once; 0
            leaves them out, and so does a decoder without words.
        beam: beam of the decoder in nats; null for none.
    """

    keep: bool = field(default=True, kw_only=True)
    bigram_scale: tuple = (0.5, 1.0, 1.5, 2.0)
    prior_scale: tuple = (0.0, 0.3, 0.6)
    insertion_penalty: tuple = (0.0, 1.0, 2.0)
    duration_scale: tuple = (1.0,)
    word_scale: tuple = (1.0,)
    unknown_word: tuple = (2.5,)
    phones_scale: tuple = ()
    phones_penalty: tuple = ()
    alone_penalty: tuple = ()
    ngram_order: int = field(default=2, metadata=between(2, LONGEST_ORDER))
    ngram_least: float = field(default=2.0, metadata=above(0))
    english_words: int = field(default=0, metadata=at_least(0))
    english_weight: float = field(default=0.2, metadata=above(0))
    word_pairs: int = field(default=0, metadata=at_least(0))
    word_triples: int = field(default=0, metadata=at_least(0))
    texts: tuple = ()
    text_weight: float = field(default=0.3, metadata=WEIGHT)
    transcripts_weight: float = field(default=0.0, metadata=between(0, 1, below=True))
    beam: float | None = field(default=None, metadata=above(0, or_null=True))

    def __post_init__(self) -> None:
        check_fields(self, "decoding.")
        self._check_texts()
        if self.word_triples and not self.word_pairs:
            raise ConfigError(
                f"decoding.word_triples: {self.word_triples}, but no pairs, which they build on; "
                "set decoding.word_pairs to 100000 or more"
            )
        for name in ("english_words", "word_pairs"):
            if getattr(self, name) and self.ngram_order == 2:
                raise ConfigError(
                    f"decoding.{name}: {getattr(self, name)}, which bigrams take no account of; "
                    "set decoding.ngram_order to 3 or more"
                )
        for name in (*TUNED, *READING_TUNED):
            values = getattr(self, name)
            if not values and name in TUNED:
                raise ConfigError(f"decoding.{name}: empty; list at least one value to try")
            if wrong := [value for value in values if not is_finite_number(value)]:
                raise ConfigError(f"decoding.{name}: {wrong[0]!r}; each value is a number")

    def _check_texts(self) -> None:
        for index, path in enumerate(self.texts):
            if not isinstance(path, str) or not path:
                raise ConfigError(f"decoding.texts: {path!r}; each entry is the name of a file")
            if path in self.texts[:index]:
                raise ConfigError(f"decoding.texts: {path!r} is listed twice; list it once")
        total = self.transcripts_weight + (self.text_weight if self.texts else 0)
        if total >= 1:
            raise ConfigError(
                f"decoding.text_weight: {self.text_weight:g}, with decoding.transcripts_weight "
                f"{self.transcripts_weight:g}; together below 1, the rest is the trigram's"
            )
        if self.texts and not self.word_pairs:
            raise ConfigError(
                f"decoding.texts: {list(self.texts)}, but the decoder knows no words; set "
                "decoding.word_pairs to 100000 or more"
            )


def _check_interval(name: str, value: tuple, low: float, high: float, unit: str) -> None:
    """Raise a ConfigError for a pair that is no interval between ``low`` and ``high``."""
    if len(value) != 2 or not all(map(is_finite_number, value)) or not value[0] <= value[1]:
        raise ConfigError(f"{name}: {list(value)}; [least, greatest]")
    if not low <= value[0] <= value[1] <= high:
        raise ConfigError(f"{name}: {list(value)}; from {low:g} to {high:g} {unit}")
