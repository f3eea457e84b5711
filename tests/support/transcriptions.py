"""Transcriptions made up for the tests of what is written."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from speechattn.segments import Segment
from speechattn.transcription.formats.registry import WRITERS


@dataclass
class FakeTranscription:
    """What the writers use of ``speechattn.inference.recognizer.Transcription``."""

    phones: list[Segment]
    duration: float
    sample_rate: int = 16_000
    labels: tuple[str, ...] = ()
    words: list[Segment] | None = None
    confidence: float | None = None
    channel: int | None = None
    assumed: dict[str, str] = field(default_factory=dict)
    more: dict[str, object] = field(default_factory=dict)
    speaker: str = ""
    speakers: tuple[FakeTranscription, ...] = ()


# Labels as a phone table can hold them: no tabs, no line breaks, no space around them.
LABELS = st.one_of(
    st.sampled_from(["SIL", "AA", "ʃ", "t͡ʃ", 'q"', '"', '""x"', "a b", "100%", ";;", "<&>", "-->"]),
    st.text(
        st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp", "Zs"), codec="utf-8"),
        min_size=1,
        max_size=4,
    ),
)
# What the configuration of a model might hold for labels.
ODD_LABELS = st.one_of(
    LABELS,
    st.sampled_from(
        ["\n", "a\n\nb", "\r\n", "a\tb", "\0", "\x85", "\u2028", " a ", "]]>", "&amp;"]
    ),
    st.text(st.characters(codec="utf-8"), max_size=4),
)


@st.composite
def transcriptions(draw, labels=LABELS, longest: int = 500) -> FakeTranscription:
    """Segments on the 10 ms grid that end at the duration of some number of samples.

    ``longest`` is the length of the longest segment in frames.
    """
    rate = draw(st.sampled_from([8000, 11025, 16_000, 22050, 44_100, 48_000]))
    lengths = draw(st.lists(st.integers(1, longest), min_size=1, max_size=8))
    edges = [sum(lengths[:i]) / 100 for i in range(len(lengths))]
    samples = round(edges[-1] * rate + draw(st.integers(rate // 100, rate)))
    duration = round(samples / rate, 6)  # as it is written
    ends = [*edges[1:], duration]
    return FakeTranscription(
        [
            Segment(draw(labels), start, end, draw(st.floats(0, 1)))
            for start, end in zip(edges, ends)
        ],
        duration,
        rate,
    )


EXAMPLE = FakeTranscription(
    [
        Segment("SIL", 0.0, 0.1, 0.99),
        Segment('K"', 0.1, 0.3, 0.123456),
        Segment("AE", 0.3, 1 / 3, 1.0),
    ],
    duration=1 / 3,
)


def render(name: str, transcription: FakeTranscription, file: str = "a.wav") -> str:
    return WRITERS[name].render(transcription, file, "SIL")


def check_edges(edges: list[tuple[int, int]], transcription: FakeTranscription, unit: int) -> None:
    """Whole numbers that tile from 0 on, each at most half a unit from the time it stands for."""
    assert edges[0][0] == 0
    assert [end for _, end in edges[:-1]] == [start for start, _ in edges[1:]]
    for (start, end), segment in zip(edges, transcription.phones, strict=True):
        assert start < end
        assert abs(start - segment.start * unit) <= 0.5 + 1e-9 * start
        assert abs(end - segment.end * unit) <= 0.5 + 1e-9 * end
