"""How probable a pronunciation is, by a network that reads the letters and writes the phones.

Self-attention goes over all letters of the word at once, and an attention decoder writes one phone
after another (:mod:`speechattn.heads`). N-grams see seven graphones and the network a whole word,
so each knows what the other does not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.kinds import AnyEncoderConfig
from speechattn.errors import ConfigError
from speechattn.files import atomic_path
from speechattn.heads.config import AnyHead, DecoderHead
from speechattn.heads.models import StringModel
from speechattn.inference.model_tensors import give_values, without_values
from speechattn.schema import build
from speechattn.text import one_line

ENCODER = EncoderConfig(
    width=192, heads=4, feedforward=576, blocks=3, window=(None, None), activation="gelu"
)
MOST_SAID = 100  # characters of PyTorch's errors, which name all weights
FACTS = "speechattn"  # in the metadata of the file
HEAD = DecoderHead(width=256, attention=64, kernel=5, channels=8, dropout=0.2, ctc_weight=0.0)


class LeftOut(NamedTuple):
    """Words that a network has not learned, as :func:`speechattn.bench.g2p.draw` draws them.

    Attributes:
        words: of the whole dictionary.
        share: of them that was left out.
        seed: of the draw.
    """

    words: int
    share: float
    seed: int


class SpellingNetwork:
    """Says how probable pronunciations of words are.

    Args:
        letters: that words may have, each once.
        phones: labels.
        model: encoder and decoder; None for a new one, with random weights.
        left_out: words that it has not learned; None if it has learned all, or if that is unknown.
    """

    def __init__(
        self,
        letters: str,
        phones: Sequence[str],
        model: StringModel | None = None,
        left_out: LeftOut | None = None,
    ) -> None:
        self.letters, self.phones, self.left_out = letters, tuple(phones), left_out
        self.model = model or StringModel(len(letters), len(self.phones), ENCODER, HEAD)
        self._letter = {letter: index for index, letter in enumerate(letters)}
        self._phone = {phone: index for index, phone in enumerate(self.phones)}

    def inputs(self, words: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Letters as vectors of which one number is 1, and the lengths of the words.

        Args:
            words: of the network's letters, one letter or more each.

        Returns:
            Shapes (words, longest, letters) and (words,).
        """
        rows = [torch.tensor([self._letter[letter] for letter in word]) for word in words]
        lengths = torch.tensor([len(row) for row in rows])
        return F.one_hot(pad_sequence(rows, True), len(self.letters)).float(), lengths

    def targets(self, ways: Sequence[Sequence[str]]) -> Tensor:
        """Classes of phones, shape (ways, longest); -1 after the end of a way."""
        rows = [torch.tensor([self._phone[phone] for phone in way]) for way in ways]
        return pad_sequence(rows, True, -1)

    @torch.inference_mode()
    def log_probs(self, word: str, ways: Sequence[Sequence[str]]) -> list[float]:
        """Natural logarithms of the probabilities of some pronunciations of one word.

        Args:
            word: in lower case, of the network's letters.
            ways: phones of the network, one or more each.
        """
        assert self.model.decoder is not None
        letters, _ = self.inputs([word])
        targets = self.targets(ways)
        vectors = self.model.vectors(letters).expand(len(ways), -1, -1)
        scores = self.model.decoder(vectors, targets).log_softmax(-1)
        ends = (targets >= 0).sum(1, keepdim=True)
        ended = F.pad(targets, (0, 1), value=-1).scatter(1, ends, self.model.decoder.end)
        found = scores.gather(2, ended.clamp_min(0)[:, :, None])[:, :, 0]
        return found.masked_fill(ended < 0, 0).sum(1).tolist()

    def knows(self, word: str, ways: Sequence[Sequence[str]]) -> bool:
        """Whether it knows all letters of a word, and all phones of its pronunciations."""
        return set(word) <= self._letter.keys() and self._phone.keys() >= {
            p for w in ways for p in w
        }

    def save(self, path: Path) -> None:
        """Write a safetensors file, with weights of 16 bits, whole or not at all."""
        facts = {
            "letters": self.letters,
            "phones": self.phones,
            "encoder": self.model.config.to_dict(),
            "head": self.model.head.to_dict(),
            "left_out": self.left_out and self.left_out._asdict(),
        }
        weights = {name: value.half() for name, value in self.model.state_dict().items()}
        with atomic_path(path) as temporary:
            temporary.write_bytes(save(weights, {FACTS: json.dumps(facts)}))

    @classmethod
    def load(cls, path: Path) -> SpellingNetwork:
        """Read a file of :meth:`save`.

        Raises:
            ConfigError: if it is missing, damaged, or something else.
        """
        try:
            with safe_open(path, "pt") as file:
                facts = json.loads(file.metadata()[FACTS])
            weights = load_file(path)
            encoder = build(AnyEncoderConfig, facts["encoder"], "encoder.")
            head = build(AnyHead, facts["head"], "head.")
            if not isinstance(head, DecoderHead):
                raise ValueError(f"its head is of the kind {head.kind!r}")
            letters, phones = facts["letters"], facts["phones"]
            model = without_values(lambda: StringModel(len(letters), len(phones), encoder, head))
            give_values(model, weights)
            left_out = facts["left_out"] and LeftOut(**facts["left_out"])
        except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{path}: is no network of pronunciations ({one_line(str(error))[:MOST_SAID]}); "
                "install the package again"
            ) from None
        return cls(letters, phones, model.eval().requires_grad_(False), left_out)
