"""Parts of speech of Cantonese words: how many neighbours the attention window must have.

In "I saw a saw", the neighbours of "saw" tell verb from noun. In the same way they tell whether 好
means "good" or "very". The text is in :mod:`speechattn.studies.tagged_text`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechattn.attention.masks import AttentionMask, WindowMask
from speechattn.checks import check
from speechattn.errors import ConfigError
from speechattn.studies.tagged_text import (
    NO_TAG,
    UNKNOWN,
    Lexicon,
    Scores,
    Text,
    Utterance,
    read_corpus,
    split,
)
from speechattn.studies.trials import (
    FitConfig,
    StudyConfig,
    apply_layers,
    attention_layers,
    fit,
    percent,
    run_trials,
    weights_of,
)
from speechattn.text import table
from speechattn.training.stages import fingerprint

REACH = 8  # words to each side up to which every distance has a bias of its own
SCORED_AT_ONCE = 512  # utterances


@dataclass(frozen=True)
class Config(StudyConfig):
    """A recipe of this study.

    Attributes:
        test_every: every n-th conversation is for testing.
        windows: windows of attention to compare, ``[left, right]`` in words, or ``everything``.
        width: width of the vector of a word.
        heads: number of heads of an attention layer.
        layers: number of attention layers; with more than 1, a word sees beyond its window.
        least_count: how often a word must occur in training to get a vector of its own.
        word_dropout: share of the words that count as unknown in training.
        training: how each model is trained.
    """

    name: str = "tagging"
    work_dir: str = "data/runs/tagging"
    test_every: int = 5
    windows: tuple = ((0, 0), (1, 1), (2, 2), "everything")
    width: int = 64
    heads: int = 4
    layers: int = 1
    least_count: int = 1
    word_dropout: float = 0.1
    training: FitConfig = field(default_factory=lambda: FitConfig(steps=600, batch=64))

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = ("width", "heads", "layers", "least_count")
        check("", self, counts, lambda v: v >= 1, "from 1 on")
        check("", self, ("test_every",), lambda v: v >= 2, "from 2 on")
        check("", self, ("word_dropout",), lambda v: 0 <= v < 1, "from 0 to below 1")
        if self.width % self.heads:
            raise ConfigError(f"heads: {self.heads}; they must divide the width, {self.width}")
        if not self.windows:
            raise ConfigError("windows: empty; list [left, right] in words, or everything")
        for value in self.windows:
            window_of(value)


def window_of(value: object) -> WindowMask:
    """Make a window from its value in a recipe.

    Raises:
        ConfigError: if the value is no window.
    """
    try:
        if value == "everything":
            return WindowMask(None, None)
        if not isinstance(value, (list, tuple)):
            raise TypeError
        left, right = value
        return WindowMask(left, right)
    except (TypeError, ValueError):
        raise ConfigError(
            f"windows: {value!r}; each is [left, right] in words, or everything"
        ) from None


class Tagger(nn.Module):
    """Word embeddings, layers of attention in a window, scores of tags.

    Args:
        config: width, heads, layers and word dropout.
        words: number of word vectors, with that of unknown words.
        tags: number of classes.
        window: mask of every attention layer.
    """

    def __init__(self, config: Config, words: int, tags: int, window: AttentionMask) -> None:
        super().__init__()
        self.word_dropout = config.word_dropout
        self.vectors = nn.Embedding(words, config.width)
        nn.init.normal_(
            self.vectors.weight, std=0.1
        )  # small, so that few updates suffice for rare words
        self.layers = attention_layers(
            config.width,
            config.heads,
            config.layers,
            positions="distance",
            mask=window,
            reach=REACH,
        )
        self.norm = nn.LayerNorm(config.width)
        self.leave = nn.Linear(config.width, tags)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Compute scores, shape (utterances, words, tags), of words, shape (utterances, words)."""
        if self.training and self.word_dropout:
            words = words.masked_fill(torch.rand(words.shape) < self.word_dropout, UNKNOWN)
        return self.leave(self.norm(apply_layers(self.layers, self.vectors(words), lengths)))


def train_and_score(
    config: Config,
    utterances: Sequence[Utterance],
    test: Sequence[Utterance],
    window: WindowMask,
    seed: int,
) -> dict[str, float]:
    """Train a tagger; return its accuracies on the test text and its number of weights."""
    lexicon = Lexicon(utterances, config.least_count)
    train, tested = Text(utterances, lexicon), Text(test, lexicon)
    torch.manual_seed(seed)
    model = Tagger(config, len(lexicon.words) + 1, len(lexicon.tags), window)

    def loss(chosen: Tensor) -> Tensor:
        words, lengths, tags = train.batch(chosen)
        return F.cross_entropy(
            model(words, lengths).flatten(0, 1), tags.flatten(), ignore_index=NO_TAG
        )

    fit(model, loss, len(utterances), config.training, seed)
    names, found = list(lexicon.tags), []
    for chosen in torch.arange(len(test)).split(SCORED_AT_ONCE):
        words, lengths, _ = tested.batch(chosen)
        with torch.inference_mode():
            best = model(words, lengths).argmax(-1)
        for number, row in zip(chosen.tolist(), best.tolist()):
            found += [names[tag] for tag, (_, true) in zip(row, test[number]) if true]
    return {**Scores(test, lexicon).accuracy(found), "weights": weights_of(model)}


def check_data(config: Config) -> None:
    """Raise what :func:`run` would raise before any training."""
    train, _ = split(read_corpus(), config.test_every)
    Lexicon(train, config.least_count)


def run(config: Config, force: bool, report: Callable[[str], None]) -> None:
    """Train every window with every seed; see :func:`speechattn.studies.trials.run_trials`."""
    train, test = split(read_corpus(), config.test_every)
    lexicon = Lexicon(train, config.least_count)
    scores = Scores(test, lexicon)
    names = {window_name(value): window_of(value) for value in config.windows}
    trials = {
        (name, seed): partial(train_and_score, config, train, test, window, seed)
        for seed in config.all_seeds
        for name, window in names.items()
    }
    usual = scores.accuracy([lexicon.usual(word) for word in scores.words])
    data = fingerprint([train, test])
    write_report = partial(write, scores=scores, usual=usual, train=train)
    run_trials(config, data, trials, write_report, force=force, report=report)


def window_name(value: object) -> str:
    """Return the name of a window in the report."""
    window = window_of(value)
    if (window.left, window.right) == (0, 0):
        return "the word alone"
    if window.left is None and window.right is None:
        return "everything"
    sides = ("all" if side is None else side for side in (window.left, window.right))
    return "{} left, {} right".format(*sides)


def write(
    rows: Sequence[dict], *, scores: Scores, usual: dict[str, float], train: Sequence[Utterance]
) -> str:
    """Write the report: the data, and accuracies by window and of the most frequent tag."""
    words, known = len(scores.words), {tag for u in train for _, tag in u}
    tagged = sum(tag is not None for utterance in train for _, tag in utterance)
    trained = f"Trained on {tagged:,} words in {len(train):,} utterances"
    tested = f"tested on {words:,} words of other conversations"
    lines = [f"{trained}, {tested}; punctuation is seen and not counted."]
    if lacking := sorted(set(scores.tags) - known):
        counted = ", ".join(f"{tag} ({scores.tags.count(tag)})" for tag in lacking)
        lines.append(f"Tags of test words that training does not have, never right: {counted}.")
    groups = [group for group in scores.groups if scores.count(group)]
    header = ["sees", "weights"]
    header += [f"{group} words ({scores.count(group):,}), % right" for group in groups]
    cells = [["most frequent tag", "–", *(percent([usual[group]]) for group in groups)]]
    for name in dict.fromkeys(row["trial"] for row in rows):
        own = [row for row in rows if row["trial"] == name]
        accuracies = (percent([row[group] for row in own]) for group in groups)
        cells.append([name, f"{own[0]['weights']:,}", *accuracies])
    seeds = len({row["seed"] for row in rows})
    lines.append(f"Ambiguous: with several tags in training. Means of {seeds} seeds ± 95 %.")
    return "\n\n".join([*lines, table(header, cells)])
