"""Tagged text: the corpus, its words and tags as numbers, and accuracies.

The text is the Hong Kong Cantonese Corpus (Luke & Wong, 2015), conversations of the 1990s tagged by
hand. It comes with PyCantonese, which also maps its tags to those of Universal Dependencies.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from speechattn.errors import SpeechattnError
from speechattn.studies.trials import missing

if TYPE_CHECKING:
    from pycantonese.corpus import Token

Utterance = list[tuple[str, str | None]]  # words and their tags; None for punctuation
UNKNOWN, NO_TAG = 0, -1  # numbers of words without a vector of their own, and of no tag


def read_corpus() -> list[list[Utterance]]:
    """Read the conversations of the Hong Kong Cantonese Corpus.

    Raises:
        UsageError: if PyCantonese is not installed.
    """
    try:
        import pycantonese
        from pycantonese.pos_tagging import hkcancor_to_ud
    except ImportError:
        raise missing("pycantonese") from None

    def tagged(token: Token) -> tuple[str, str | None]:
        return token.word, hkcancor_to_ud(token.pos) if token.pos else None

    tokens = pycantonese.hkcancor().tokens(by_utterance=True, by_file=True)
    conversations = cast("list[list[list[Token]]]", tokens)
    return [[[tagged(t) for t in u] for u in c if any(t.pos for t in u)] for c in conversations]


def split(
    conversations: Sequence[list[Utterance]], test_every: int
) -> tuple[list[Utterance], list[Utterance]]:
    """Split conversations into training and test utterances.

    Args:
        conversations: all conversations; each is used as a whole.
        test_every: every n-th conversation is for testing.

    Raises:
        SpeechattnError: if either part is empty.
    """
    parts: tuple[list[Utterance], list[Utterance]] = ([], [])
    for number, conversation in enumerate(conversations, 1):
        parts[number % test_every == 0].extend(conversation)
    for name, part in zip(("train", "test"), parts):
        if not part:
            raise SpeechattnError(
                f"test_every: {test_every}: no utterances to {name} on, of {len(conversations)} "
                "conversations; choose another number"
            )
    return parts


class Lexicon:
    """Numbers of the words and tags of the training text, and the tags of each word.

    Args:
        utterances: training text.
        least_count: how often a word must occur to have a number of its own.

    Attributes:
        words, tags: word or tag → its number.
        seen: word → how often it has each tag.

    Raises:
        SpeechattnError: if there are no tagged words.
    """

    def __init__(self, utterances: Sequence[Utterance], least_count: int) -> None:
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
        """Whether a word has more than one tag in the training text."""
        return len(self.seen.get(word, ())) > 1

    def usual(self, word: str) -> str:
        """Return the most frequent tag of a word, or of all words if the word is unknown."""
        if word in self.seen:
            return self.seen[word].most_common(1)[0][0]
        return next(iter(self.tags))


class Text:
    """Utterances as tensors of numbers, padded to the longest.

    Args:
        utterances: the text.
        lexicon: numbers of words and tags.

    Attributes:
        words: shape (utterances, longest).
        tags: shape (utterances, longest); NO_TAG for punctuation and for tags that do not occur in
            training.
        lengths: words of each utterance, shape (utterances,).
    """

    def __init__(self, utterances: Sequence[Utterance], lexicon: Lexicon) -> None:
        def padded(rows: list[list[int]], value: int) -> Tensor:
            tensors = [torch.tensor(row) for row in rows]
            return nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)

        words = [[lexicon.words.get(w, UNKNOWN) for w, _ in u] for u in utterances]
        tags = [[lexicon.tags.get(t, NO_TAG) for _, t in u] for u in utterances]
        self.words, self.tags = padded(words, UNKNOWN), padded(tags, NO_TAG)
        self.lengths = torch.tensor([len(u) for u in utterances])

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return words, lengths and tags of some utterances, padded to the longest of them."""
        lengths = self.lengths[chosen]
        longest = int(lengths.max())
        return self.words[chosen, :longest], lengths, self.tags[chosen, :longest]


class Scores:
    """Accuracy on groups of tagged test words: all, ambiguous ones, unseen ones.

    Args:
        utterances: test text.
        lexicon: of the training text. Ambiguous words have several tags in it; unseen words are not
            in it.

    Attributes:
        words, tags: the tagged test words and their tags.
        groups: group → whether each word belongs to it.
    """

    def __init__(self, utterances: Sequence[Utterance], lexicon: Lexicon) -> None:
        self.words = [word for utterance in utterances for word, tag in utterance if tag]
        self.tags = [tag for utterance in utterances for _, tag in utterance if tag]
        self.groups = {
            "all": [True] * len(self.words),
            "ambiguous": [lexicon.ambiguous(word) for word in self.words],
            "unseen": [word not in lexicon.seen for word in self.words],
        }

    def count(self, group: str) -> int:
        """Return the number of words in a group."""
        return sum(self.groups[group])

    def accuracy(self, found: Sequence[str]) -> dict[str, float]:
        """Return the share of right tags in each group that has words.

        Args:
            found: predicted tags of the words, in order.
        """
        right = [tag == other for tag, other in zip(found, self.tags, strict=True)]
        return {
            group: sum(r for r, member in zip(right, members) if member) / sum(members)
            for group, members in self.groups.items()
            if any(members)
        }
