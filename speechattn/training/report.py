"""Results of a recipe: pictures, example transcriptions, the report page, the released model."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import torch

from speechattn.audio.load import read_audio
from speechattn.corpora.prepared import PreparedSet, PreparedUtterance
from speechattn.encoder.six_bits import six_bit_weights
from speechattn.errors import ConfigError, SpeechattnError
from speechattn.evaluation.charts import confusion_picture, reliability_picture, training_picture
from speechattn.evaluation.pictures import utterance_picture
from speechattn.evaluation.scores import Scores
from speechattn.files import atomic_write_text
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.model_files import CARD
from speechattn.inference.recognizer import load_model
from speechattn.segments import segments_from_frames
from speechattn.training.config import RecipeConfig
from speechattn.transcription.batch import transcribe_files
from speechattn.transcription.formats.registry import WRITERS
from speechattn.transcription.inputs import Recording

FORMATS = ("textgrid", "ctm", "json", "csv")  # of the example transcriptions
RELIABILITY = "reliability.png"
TABLE = re.compile(r"^\{\{(\w+)\}\}$", re.MULTILINE)
HISTORY = "history.json"
ROUNDED_ON = 60  # recordings of the training set whose inputs decide how weights are rounded


def write_pictures(folder: Path, scores: Scores, training: dict) -> None:
    """Draw confusions, reliability and the course of training as PNG files.

    There is no picture of the reliability of confidences if no phone was recognised.

    Args:
        folder: folder of the pictures.
        scores: scores of all test sets.
        training: history of the training, as :func:`speechattn.training.train_stage.train_model`
            returns it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = scores.phones.names
    confusion_picture(folder / "confusions.png", scores.confusions(), names, title="all test sets")
    table = scores.calibration().table()
    if any(row.phones for row in table):
        reliability_picture(folder / RELIABILITY, table, title="all test sets")
    else:
        (folder / RELIABILITY).unlink(missing_ok=True)  # of another model
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
        model: folder of the model.
        test: test set, which lists the recordings.
        count: largest number of recordings.
        folder: folder to write to, replaced if it exists; each corpus has a folder in it.
        device: as for :func:`speechattn.load_model`.

    Raises:
        SpeechattnError: if one of them fails.
    """
    shutil.rmtree(folder, ignore_errors=True)  # old examples would get into the report
    recognizer = load_model(model, device)
    whole = [entry for entry in test.entries if entry.start == 0 and entry.end is None]
    entries = _in_turn(whole)[:count]
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
        transcription = recognizer.transcribe(entry.path)
        reference = segments_from_frames(test.runs(entry), recognizer.phones.names, info.duration)
        utterance_picture(
            _output(folder, entry, ".png"),
            samples,
            reference,
            transcription.phones,
            transcription.posteriors,
            transcription.labels,
            title=f"{entry.corpus}: {entry.id}",
            silence=recognizer.phones.silence,
        )


def _output(folder: Path, entry: PreparedUtterance, suffix: str) -> Path:
    """Return the file of an example; a slash in the name of an utterance becomes ``_``."""
    return folder / entry.corpus / (entry.id.replace("/", "_") + suffix)


def _in_turn(entries: list[PreparedUtterance]) -> list[PreparedUtterance]:
    """Sort entries: the first of each corpus, then the second of each, and so on."""
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
        f"| {row['reference']} | {row['recognised']} | {row['frames']} "
        f"| {100 * row['share']:.1f} % |"
        for row in scores["overall"]["top_confusions"][:10]
    )
    examples = "\n\n".join(
        f"![{path.stem}]({path.relative_to(work).as_posix()})"
        for path in sorted(work.glob("transcribe/*/*.png"))
    )
    reliability = "No phone was recognised, so there are no confidences to judge."
    if (work / "evaluate" / RELIABILITY).exists():
        reliability = f"![reliability](evaluate/{RELIABILITY})"
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

{reliability}

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
    """Write the trained model, its history and its card to ``folder``, for distribution.

    Weights of linear layers within the encoder are stored in 6 bits, others in 16.

    Args:
        work: work folder of the recipe.
        folder: folder to write to, replaced if it holds a model.
        card: text of the model card; None for none. A line ``{{name}}`` in it is replaced by the
            table ``evaluate/name.md`` of the work folder.

    Raises:
        ConfigError: if the card is missing, or names a table that does not exist.
        CorpusError: if the prepared training set is missing or damaged.
        ModelError: if the folder holds something else.
    """
    text = None if card is None else _filled(card, work / "evaluate")
    model, train = Checkpoint.load(work / "model"), PreparedSet(work / "prepared/train")
    chosen = np.random.default_rng(0).permutation(len(train.entries))[:ROUNDED_ON]
    six_bits = six_bit_weights(model.classifier, (train.frames(train.entries[i]) for i in chosen))
    model.save(folder, dtype=torch.bfloat16, six_bits=six_bits)
    shutil.copyfile(work / "train" / HISTORY, folder / HISTORY)
    if text is not None:
        atomic_write_text(folder / CARD, text)


def _filled(card: Path, tables: Path) -> str:
    """Return the text of a model card with its tables."""

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
