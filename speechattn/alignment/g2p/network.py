"""How probable a pronunciation is, by a network that reads the letters and writes the phones.

Self-attention goes over all letters of the word at once, and an attention decoder writes one phone
after another (:mod:`speechattn.heads`). N-grams see seven graphones and the network a whole word,
so each knows what the other does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from speechattn.encoder.config import EncoderConfig
from speechattn.heads.config import DecoderHead
from speechattn.heads.models import StringModel

ENCODER = EncoderConfig(
    width=128, heads=4, feedforward=384, blocks=3, window=(None, None), activation="gelu"
)
HEAD = DecoderHead(width=192, attention=64, kernel=5, channels=8, dropout=0.2, ctc_weight=0.0)


class SpellingNetwork:
    """Says how probable pronunciations of words are.

    Args:
        letters: that words may have, each once.
        phones: labels.
        encoder: shape of the encoder.
        head: shape of the decoder.

    Attributes:
        model: encoder and decoder, with random weights at first.
    """

    def __init__(
        self,
        letters: str,
        phones: Sequence[str],
        encoder: EncoderConfig = ENCODER,
        head: DecoderHead = HEAD,
    ) -> None:
        self.letters, self.phones = letters, tuple(phones)
        self.model = StringModel(len(letters), len(self.phones), encoder, head)
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
