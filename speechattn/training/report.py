"""What a recipe shows: pictures of scores and recordings, and one page that holds it all.

The release stage of a recipe: the trained model as it comes with the package.

Weights are stored in 8 bits where the model knows the ranges of what they are multiplied with, and in
16 elsewhere. The model card is a text with a line ``{{name}}`` where the table ``name.md`` of the run belongs.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import torch

from speechattn.audio.load import read_audio
from speechattn.corpora.prepared import PreparedSet, PreparedUtterance
from speechattn.errors import ConfigError, SpeechattnError
from speechattn.evaluation.charts import confusion_picture, reliability_picture, training_picture
from speechattn.evaluation.pictures import utterance_picture
from speechattn.evaluation.scores import Scores
from speechattn.files import atomic_write_text
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.model_files import CARD
from speechattn.inference.recognizer import load_model
from speechattn.segments import segments_from_runs
from speechattn.training.config import RecipeConfig
from speechattn.transcription.batch import transcribe_files
from speechattn.transcription.formats.registry import WRITERS
from speechattn.transcription.inputs import Recording

FORMATS = ("textgrid", "ctm", "json", "csv")  # of the example transcriptions


TABLE = re.compile(r"^\{\{(\w+)\}\}$", re.MULTILINE)
HISTORY = "history.json"


def write_pictures(folder: Path, scores: Scores, training: dict) -> None:
    """Confusions, reliability and the course of training, as PNG files in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    names = scores.phones.names
    confusion_picture(folder / "confusions.png", scores.confusions(), names, title="all test sets")
    table = scores.calibration().table()
    reliability_picture(folder / "reliability.png", table, title="all test sets")
    history = training["history"]
    training_picture(
        folder / "training.png",
        [row["step"] for row in history],
        [row["loss"] for row in history],
        [row["dev_frame_accuracy"] for row in history],
    )


def transcribe_examples(
    model: Path, test: PreparedSet, count: int, folder: Path, device: str
) -> None:
    """Transcribe the first recordings of every test corpus in turn, and draw each of them.

    Args:
        model: folder.
        test: where the recordings are listed.
        count: of recordings, at most.
        folder: for a folder a corpus; replaced if it exists.
        device: as for :func:`speechattn.load_model`.

    Raises:
        SpeechattnError: if one of them fails.
    """
    shutil.rmtree(folder, ignore_errors=True)  # examples of another run would get into the report
    recognizer = load_model(model, device)
    entries = _in_turn(test.entries)[:count]
    jobs = []
    for entry in entries:
        outputs = {name: _output(folder, entry, WRITERS[name].suffix) for name in FORMATS}
        path = Path(entry.path)
        jobs.append(Recording(path, f"{entry.corpus}/{entry.id}{path.suffix}", outputs))
    summary = transcribe_files(jobs, recognizer, folder, progress=True)
    if summary.errors:
        raise SpeechattnError("; ".join(summary.errors))
    for entry in entries:
        samples, info = read_audio(entry.path)
        found = recognizer.transcribe(entry.path)
        reference = segments_from_runs(test.runs(entry), recognizer.phones.names, info.duration)
        utterance_picture(
            _output(folder, entry, ".png"),
            samples,
            reference,
            found.phones,
            found.posteriors,
            found.labels,
            title=f"{entry.corpus}: {entry.id}",
            silence=recognizer.phones.silence,
        )


def _output(folder: Path, entry: PreparedUtterance, suffix: str) -> Path:
    """Where an example goes: an utterance may be called ``a/b``, a file may not."""
    return folder / entry.corpus / (entry.id.replace("/", "_") + suffix)


def _in_turn(entries: list[PreparedUtterance]) -> list[PreparedUtterance]:
    """One entry of each corpus, then the second of each, and so on."""
    seen: dict[str, int] = {}
    ranked = []
    for entry in entries:
        seen[entry.corpus] = rank = seen.get(entry.corpus, -1) + 1
        ranked.append((rank, entry))
    return [entry for _, entry in sorted(ranked, key=lambda pair: pair[0])]


def write_report(work: Path, config: RecipeConfig) -> None:
    """Write ``report.md``: scores, pictures, worst confusions, and how the model was made."""
    scores = json.loads((work / "evaluate/scores.json").read_text(encoding="utf-8"))
    history = json.loads((work / "train/history.json").read_text(encoding="utf-8"))
    model = json.loads((work / "model/config.json").read_text(encoding="utf-8"))
    problems = []
    for name in ("train", "dev", "test"):
        index = json.loads((work / "prepared" / name / "index.json").read_text(encoding="utf-8"))
        problems += [f"- {name}: {problem}" for problem in index["problems"]]
    confusions = "\n".join(
        f"| {row['reference']} | {row['recognised']} | {row['frames']} | {100 * row['share']:.1f} % |"
        for row in scores["overall"]["top_confusions"][:10]
    )
    examples = "\n\n".join(
        f"![{path.stem}]({path.relative_to(work).as_posix()})"
        for path in sorted(work.glob("transcribe/*/*.png"))
    )
    text = f"""# {config.name}

{(work / "evaluate/scores.md").read_text(encoding="utf-8")}
Frames are 10 ms; PER leaves silence out; boundaries count within 20 ms. By speaker:
[evaluate/speakers.md](evaluate/speakers.md); every number: `evaluate/scores.json`.

## Recordings

{examples}

## Where it errs

| reference | taken for | frames | of the reference |
|---|---|---|---|
{confusions}

![confusions](evaluate/confusions.png)

![reliability](evaluate/reliability.png)

## How it was made

- train: {", ".join(config.train)}; {history["frames"] / 360_000:.2f} hours after long silences were
  shortened
- {history["steps"]} steps of {config.training.batch_frames} frames in {history["seconds"] / 60:.1f}
  minutes
- encoder: `{json.dumps(model["encoder"])}`
- decoder, tuned on dev: `{json.dumps(model["decoding"])}`

![training](evaluate/training.png)

## Left out

{chr(10).join(problems) or "Nothing."}
"""
    atomic_write_text(work / "report.md", text)


def release(work: Path, folder: Path, card: Path | None) -> None:
    """Write a run's model, its figures and its card to ``folder``.

    Args:
        work: work folder of the recipe.
        folder: is replaced if it holds a model.
        card: the text of the card; None for none.

    Raises:
        ConfigError: if the card is missing, or names a table that the run has not.
        ModelError: if the folder holds something else.
    """
    text = None if card is None else _filled(card, work / "evaluate")
    Checkpoint.load(work / "model").save(folder, dtype=torch.int8)
    shutil.copyfile(work / "train" / HISTORY, folder / HISTORY)
    if text is not None:
        atomic_write_text(folder / CARD, text)


def _filled(card: Path, tables: Path) -> str:
    """The text of a card with its tables."""

    def table(match: re.Match) -> str:
        path = tables / f"{match[1]}.md"
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"card: {card}: {match[0]}: {path}: {error.strerror}") from None

    try:
        text = card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"card: {card}: cannot be read ({error})") from None
    return TABLE.sub(table, text)
