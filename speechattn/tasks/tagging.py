"""Parts of speech of Cantonese words, by a window of attention: how many neighbours decide.

As "saw" in "I saw a saw" is a verb or a noun by what stands beside it, so is 好 "good" or "very". The
text is the Hong Kong Cantonese Corpus (Luke & Wong, 2015), conversations of the 1990s tagged by hand,
as PyCantonese carries it, with its map to the tags of Universal Dependencies.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechattn.config_sections import check
from speechattn.errors import ConfigError, SpeechattnError
from speechattn.markdown import table
from speechattn.stages import fingerprint
from speechattn.tasks.fit import FitConfig, fit
from speechattn.tasks.layers import attention_layers, through, weights_of
from speechattn.tasks.trials import TaskConfig, missing, percent, run_trials
from speechattn.visibility import Visibility, Window

Utterance = list[tuple[str, str | None]]  # words and their tags; None for punctuation
UNKNOWN, NO_TAG = 0, -1  # number of a word that has no vector of its own; of no tag
REACH = 8  # words, to each side, whose distances have a bias of their own
SCORED_AT_ONCE = 512  # utterances


@dataclass(frozen=True)
class Config(TaskConfig):
    """A recipe of this task.

    Attributes:
        test_every: every so-manieth conversation is for testing.
        windows: of attention, ``[left, right]`` in words, or ``everything``.
        width: of a word's vector.
        heads: of an attention layer.
        layers: of attention. With one, the window is all that a word sees.
        least_count: how often a word must occur in training to have a vector of its own.
        word_dropout: share of the words in training that are taken for unknown.
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


def window_of(value: object) -> Window:
    """A window as a recipe holds it.

    Raises:
        ConfigError: if it is none.
    """
    try:
        if value == "everything":
            return Window(None, None)
        left, right = value
        return Window(left, right)
    except (TypeError, ValueError):
        raise ConfigError(
            f"windows: {value!r}; each is [left, right] in words, or everything"
        ) from None


class Lexicon:
    """Words and tags of the training text, by number, and what each word is most often.

    Args:
        utterances: of the training text.
        least_count: of a word that has a number of its own.

    Attributes:
        words, tags: to their numbers.
        seen: word → how often it has each tag.

    Raises:
        SpeechattnError: if there are no tagged words.
    """

    def __init__(self, utterances: Sequence[Utterance], least_count: int):
        self.seen: dict[str, Counter] = defaultdict(Counter)
        counts = Counter(word for utterance in utterances for word, _ in utterance)
        for utterance in utterances:
            for word, tag in utterance:
                if tag is not None:
                    self.seen[word][tag] += 1
        total = sum(self.seen.values(), Counter())
        if not total:
            raise SpeechattnError("training text: no tagged words; raise test_every")
        often = [word for word, count in counts.most_common() if count >= least_count]
        self.words = {word: number for number, word in enumerate(often, UNKNOWN + 1)}
        self.tags = {tag: number for number, (tag, _) in enumerate(total.most_common())}

    def ambiguous(self, word: str) -> bool:
        """Whether the training text has it with more than one tag."""
        return len(self.seen.get(word, ())) > 1

    def usual(self, word: str) -> str:
        """Its most frequent tag, of all words if it is unknown."""
        if word in self.seen:
            return self.seen[word].most_common(1)[0][0]
        return next(iter(self.tags))


class Text:
    """Utterances as padded numbers.

    Attributes:
        words: shape (utterances, longest).
        tags: likewise; NO_TAG where there is none, or one that training does not have.
        lengths: words of each utterance, shape (utterances,).
    """

    def __init__(self, utterances: Sequence[Utterance], lexicon: Lexicon):
        def padded(rows: list[list[int]], value: int) -> Tensor:
            rows = [torch.tensor(row) for row in rows]
            return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)

        words = [[lexicon.words.get(w, UNKNOWN) for w, _ in u] for u in utterances]
        self.words = padded(words, UNKNOWN)
        self.tags = padded(
            [[lexicon.tags.get(t, NO_TAG) for _, t in u] for u in utterances], NO_TAG
        )
        self.lengths = torch.tensor([len(u) for u in utterances])

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Words, lengths and tags of some utterances, no longer than the longest of them."""
        lengths = self.lengths[chosen]
        longest = int(lengths.max())
        return self.words[chosen, :longest], lengths, self.tags[chosen, :longest]


class Tagger(nn.Module):
    """Word vectors, layers of attention in a window, scores of tags.

    Args:
        config: width, heads, layers and word dropout.
        words: that have a vector, the unknown one included.
        tags: classes.
        window: of every attention layer.
    """

    def __init__(self, config: Config, words: int, tags: int, window: Visibility):
        super().__init__()
        self.word_dropout = config.word_dropout
        self.vectors = nn.Embedding(words, config.width)
        nn.init.normal_(self.vectors.weight, std=0.1)  # so that few updates change a rare word
        kind = {"positions": "distance", "reach": REACH, "visibility": window}
        self.layers = attention_layers(config.width, config.heads, config.layers, **kind)
        self.norm = nn.LayerNorm(config.width)
        self.leave = nn.Linear(config.width, tags)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Scores, shape (utterances, words, tags), of words (utterances, words)."""
        if self.training and self.word_dropout:
            words = words.masked_fill(torch.rand(words.shape) < self.word_dropout, UNKNOWN)
        return self.leave(self.norm(through(self.layers, self.vectors(words), lengths)))


def read_corpus() -> list[list[Utterance]]:
    """The conversations of the Hong Kong Cantonese Corpus.

    Raises:
        UsageError: if PyCantonese is not installed.
    """
    try:
        import pycantonese
        from pycantonese.pos_tagging import hkcancor_to_ud
    except ImportError:
        raise missing("pycantonese") from None

    def tagged(token) -> tuple[str, str | None]:
        return token.word, hkcancor_to_ud(token.pos) if token.pos else None

    conversations = pycantonese.hkcancor().tokens(by_utterance=True, by_file=True)
    return [[[tagged(t) for t in u] for u in c if any(t.pos for t in u)] for c in conversations]


def split(
    conversations: Sequence[list[Utterance]], test_every: int
) -> tuple[list[Utterance], list[Utterance]]:
    """Utterances to train on and to test on; a conversation is in one of them as a whole.

    Raises:
        SpeechattnError: if either would be empty.
    """
    parts: tuple[list, list] = ([], [])
    for number, conversation in enumerate(conversations, 1):
        parts[number % test_every == 0].extend(conversation)
    for name, part in zip(("train", "test"), parts):
        if not part:
            raise SpeechattnError(
                f"test_every: {test_every}: no utterances to {name} on, of {len(conversations)} "
                "conversations; choose another number"
            )
    return parts


class Scores:
    """Accuracy on words of the test text: of all, and of those with several tags in training."""

    def __init__(self, utterances: Sequence[Utterance], lexicon: Lexicon):
        self.words = [word for utterance in utterances for word, tag in utterance if tag]
        self.tags = [tag for utterance in utterances for _, tag in utterance if tag]
        self.groups = {
            "all": [True] * len(self.words),
            "ambiguous": [lexicon.ambiguous(word) for word in self.words],
            "unseen": [word not in lexicon.seen for word in self.words],
        }

    def count(self, group: str) -> int:
        """Words of a group."""
        return sum(self.groups[group])

    def accuracy(self, found: Sequence[str]) -> dict[str, float]:
        """Share of right tags in each group that has words; tags in the order of the words."""
        right = [tag == other for tag, other in zip(found, self.tags, strict=True)]
        return {
            group: sum(r for r, member in zip(right, members) if member) / sum(members)
            for group, members in self.groups.items()
            if any(members)
        }


def train_and_score(
    config: Config,
    utterances: Sequence[Utterance],
    test: Sequence[Utterance],
    window: Window,
    seed: int,
) -> dict[str, float]:
    """Train a tagger; accuracies on the test text, and its number of weights."""
    lexicon = Lexicon(utterances, config.least_count)
    train, held = Text(utterances, lexicon), Text(test, lexicon)
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
        words, lengths, _ = held.batch(chosen)
        with torch.inference_mode():
            best = model(words, lengths).argmax(-1)
        for number, row in zip(chosen.tolist(), best.tolist()):
            found += [names[tag] for tag, (_, true) in zip(row, test[number]) if true]
    return {**Scores(test, lexicon).accuracy(found), "weights": weights_of(model)}


def run(config: Config, force: bool, say: Callable[[str], None]) -> None:
    """Train every window with every seed; see :func:`speechattn.tasks.trials.run_trials`."""
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
    report = partial(write, scores=scores, usual=usual, train=train)
    run_trials(config, data, trials, report, force=force, say=say)


def window_name(value: object) -> str:
    """A window of a recipe in words."""
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
    """The report: the text, then accuracies by window beside those of the most frequent tag."""
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
