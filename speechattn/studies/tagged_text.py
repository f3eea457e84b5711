"""Tagged text: the conversations there are, words and tags as numbers, and what is right.

The text is the Hong Kong Cantonese Corpus (Luke & Wong, 2015), conversations of the 1990s tagged by hand,
as PyCantonese carries it, with its map to the tags of Universal Dependencies.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from speechattn.errors import SpeechattnError
from speechattn.studies.trials import missing

Utterance = list[tuple[str, str | None]]  # words and their tags; None for punctuation
UNKNOWN, NO_TAG = 0, -1  # number of a word that has no vector of its own; of no tag


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
