"""L2-ARCTIC: a folder a speaker, with ``wav``, ``transcript``, ``textgrid`` and ``annotation``.

Where a sentence was annotated by hand (``annotation``), its phones are those that were heard;
elsewhere they are those of the automatic alignment (``textgrid``), which are the expected ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from speechattn.corpora.corpus import Corpus
from speechattn.corpora.readers.builder import CorpusBuilder
from speechattn.corpora.readers.finding import child, files_under, read_words_and_phones
from speechattn.corpora.readers.labels import LabelMap
from speechattn.corpora.tables import read_lines
from speechattn.errors import CorpusError
from speechattn.phones import phone_set

NATIVE = ("arpabet_stress",)
SILENCES = ("", "sil", "sp", "SIL", "SP")


def matches(folder: Path) -> bool:
    """Whether this is L2-ARCTIC: folders with ``wav``, ``transcript`` and ``textgrid``."""
    return bool(_speakers(folder))


def read(folder: Path, *, phones: str | Path = "arpabet") -> Corpus:
    """Read L2-ARCTIC; see :func:`speechattn.corpora.readers.read_published`."""
    builder = CorpusBuilder(folder, LabelMap(phones, NATIVE, SILENCES))
    for speaker in _speakers(folder):
        grids = {path.stem: path for path in files_under(speaker / "textgrid", ".textgrid")}
        by_hand = {path.stem: path for path in files_under(speaker / "annotation", ".textgrid")}
        recordings = files_under(speaker / "wav", ".wav", ".flac")
        for audio in recordings:
            grid = by_hand.get(audio.stem) or grids.get(audio.stem)
            if grid is None:
                builder.report(f"{audio}: no TextGrid of its name; align it or leave it out")
                continue
            try:
                found, tiers = read_words_and_phones(grid)
                text = _read_text(speaker / "transcript" / f"{audio.stem}.txt")
            except CorpusError as error:
                builder.report(str(error))
                continue
            for gap in found.gaps:
                builder.note(gap)
            words, spoken = next(iter(tiers.values()))
            builder.add(
                f"{speaker.name}_{audio.stem}",
                audio,
                speaker.name,
                text=text,
                phones=[phone._replace(label=heard(phone.label)) for phone in spoken],
                words=[word for word in words if word.label not in SILENCES],
                labels_from=grid,
            )
        stems = {audio.stem for audio in recordings}
        for name in sorted((grids.keys() | by_hand.keys()) - stems):
            builder.report(
                f"{speaker / 'wav' / name}.wav: no such file, but a TextGrid of its name"
            )
    return builder.corpus()


def heard(label: str) -> str:
    """The phone that was heard: of ``expected,heard,kind`` the second, else the label itself.

    A star marks a foreign accent and is dropped. Vowels without a stress take that of the expected
    one.
    """
    expected, *more = (part.strip() for part in label.split(","))
    phone = (more[0] if more else expected).rstrip("*").strip()
    if phone.lower() in ("", "sil", "sp"):
        return ""
    if phone.lower() == "spn":
        return "spn"
    phone = phone.upper()
    if f"{phone}1" in phone_set("arpabet_stress").index:
        phone += expected[-1] if expected[-1:] in ("0", "1", "2") else "1"
    return phone


def _speakers(folder: Path) -> Sequence[Path]:
    """The speakers' folders: in this one, or (as their archives unpack) one below."""
    if not folder.is_dir():
        return ()
    found = []
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        for inner in (path, path / path.name):
            if all(child(inner, name) for name in ("wav", "transcript", "textgrid")):
                found.append(inner)
                break
    return found


def _read_text(path: Path) -> str:
    lines = read_lines(path)
    if not lines:
        raise CorpusError(f"{path}: is empty; write what is said in the recording")
    return " ".join(line for _, line in lines)
