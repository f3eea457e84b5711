"""``speechattn align``: when the words and phones of known texts are said."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from speechattn.alignment.transcripts import Transcript, find_transcripts
from speechattn.cli.messages import report
from speechattn.cli.transcribe import parse_channel
from speechattn.errors import SpeechattnError, UsageError, cannot_write, kind_of
from speechattn.files import atomic_write_text
from speechattn.inference.model_files import find_model
from speechattn.inference.transcription import TranscribeOptions, low_confidence
from speechattn.options import DEFAULT_MODEL
from speechattn.phones import LABELS
from speechattn.text import one_line
from speechattn.transcription.batch import write_errors
from speechattn.transcription.formats.registry import WITH_WORDS, WORDS_CTM, WRITERS
from speechattn.transcription.inputs import Recording, collect
from speechattn.transcription.journal import error_message, failure_line
from speechattn.transcription.outputs import RecordingOutputs
from speechattn.transcription.progress import ProgressBar
from speechattn.transcription.run_record import Summary
from speechattn.transcription.transcriber import ModelSpec, local_file

if TYPE_CHECKING:
    from speechattn.alignment.aligner import AlignedRecording, Aligner

OK, SOME_FAILED = 0, 1
UNKNOWN = ("fail", "spell")  # as in alignment.pronunciations, which takes long to import
NO_REDUCTIONS = "none"
MOST_NOTES = 20  # that are printed one by one


def parse_formats(text: str) -> list[str]:
    """Split a list such as ``textgrid,ctm``; a format that stands in it twice counts once.

    Raises:
        UsageError: if a format is unknown or has no words, or none is named.
    """
    names = list(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in WITH_WORDS]
    if unknown or not names:
        what = f"no words in format {unknown[0]!r}" if unknown else "no format"
        raise UsageError(f"--format {text}: {what}; choose from {', '.join(WITH_WORDS)}")
    return names


def add_align(commands: argparse._SubParsersAction, devices: Iterable[str]) -> None:
    """Add the command to those of ``speechattn``.

    Args:
        commands: of the parser.
        devices: where a model may compute.
    """
    align = commands.add_parser(
        "align",
        allow_abbrev=False,
        help="write when the words and phones of known texts are said",
        description="Write when the words of transcripts, and their phones, are said in "
        "recordings: one file a recording and format. Folders are searched with all their folders, "
        "and the output folder gets the same ones.",
        epilog="Exit status: 0 all recordings went well, 1 some failed (each is named), 2 nothing "
        "could be done, 130 interrupted.",
    )
    align.set_defaults(run=run_align)
    align.add_argument("inputs", nargs="+", metavar="AUDIO", help="audio file or folder")
    align.add_argument(
        "--text",
        required=True,
        metavar="WHERE",
        help="what is said: a folder with a .txt or .lab file for each recording, one such file "
        "for one recording, a Kaldi text file, or a .csv or .tsv table with a header",
    )
    align.add_argument("--output-dir", required=True, metavar="DIR", help="folder for the results")
    align.add_argument(
        "--format",
        default="textgrid",
        metavar="LIST",
        help=f"of {', '.join(WITH_WORDS)}, separated by commas (default: textgrid); ctm has the "
        f"words in a file of their own, *{WORDS_CTM.suffix}",
    )
    align.add_argument(
        "--lexicon",
        action="append",
        default=[],
        metavar="FILE",
        help="how words are said, in the form of CMU or MFA, before the US English dictionary of "
        "pocketsphinx (extra studies); may be given several times, the first file that lists a "
        "word counts",
    )
    align.add_argument(
        "--unknown",
        choices=UNKNOWN,
        default="fail",
        help="what becomes of a word of no dictionary: its recording fails, or the word is taken "
        "letter by letter (default: fail)",
    )
    align.add_argument(
        "--reductions",
        default="english",
        metavar="TABLE",
        help="what may be said instead of the dictionary's forms, such as a dropped T: a table in "
        f"the form of data/reductions.tsv, or {NO_REDUCTIONS} (default: english, for models with "
        "its phones)",
    )
    align.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME_OR_DIR",
        help=f"name or folder of a model (default: {DEFAULT_MODEL}, which comes with the package)",
    )
    align.add_argument(
        "--phones",
        choices=LABELS,
        default="arpabet",
        help="what phones are called: arpabet, the model's own labels, or ipa (default: arpabet)",
    )
    align.add_argument(
        "--channel",
        type=parse_channel,
        metavar="N",
        help="channel to take from recordings with several, counted from 0 (default: their mean)",
    )
    align.add_argument(
        "--device", choices=devices, default="auto", help="where to compute (default: auto)"
    )
    align.add_argument(
        "--errors",
        metavar="FILE",
        help="write a line of JSON for each recording that failed: file, kind, error",
    )
    align.add_argument(
        "--quiet", action="store_true", help="print failures only, no progress and no summary"
    )


def run_align(arguments: argparse.Namespace) -> int:
    """Run ``align``; return the exit status."""
    formats = parse_formats(arguments.format)
    recordings = collect(arguments.inputs, arguments.output_dir, formats)
    _check_outputs(recordings)
    options = TranscribeOptions(arguments.channel, posteriors=False, labels=arguments.phones)
    found = find_transcripts(arguments.text, [recording.file for recording in recordings])
    _report_notes(found.notes)
    run = _Run(_load(arguments), options)
    began = time.monotonic()
    with ProgressBar(recordings, shown=not arguments.quiet) as bar:
        for number, recording in enumerate(recordings):
            problem = found.problems.get(recording.file)
            seconds = run.align(recording, problem or found.texts[recording.file])
            bar.done(number, seconds)
    summary = run.summary
    summary.wall_seconds = time.monotonic() - began
    if arguments.errors:
        write_errors(arguments.errors, summary)
    for error in summary.errors:
        report(f"failed: {error}")
    if not arguments.quiet:
        for word, ways in sorted(run.assumed.items()):
            report(f"assumed: {word} is said {ways}; list it in a file for --lexicon if it is not")
        report(str(summary))
    return SOME_FAILED if summary.failures else OK


def _load(arguments: argparse.Namespace) -> Aligner:
    """Load the model and the dictionary."""
    model = ModelSpec(str(find_model(arguments.model)), arguments.device, 0, "auto")
    recognizer, _ = model.load()
    recognizer.phones.labels(arguments.phones)  # refuse a model without them now
    # Imported here: the search is compiled by Numba, which `speechattn --help` does without.
    from speechattn.alignment.aligner import Aligner
    from speechattn.alignment.pronunciations import has_arpabet, open_dictionary
    from speechattn.alignment.reductions import ENGLISH, Reductions

    phones = recognizer.phones
    dictionary = open_dictionary(arguments.lexicon, phones, arguments.unknown)
    table = arguments.reductions
    unsuited = table == ENGLISH and not has_arpabet(phones)
    without = table == NO_REDUCTIONS or unsuited
    return Aligner(recognizer, dictionary, None if without else Reductions.read(table, phones))


def _check_outputs(recordings: Sequence[Recording]) -> None:
    """Refuse two recordings whose words and phones would be written to one file."""
    first: dict[Path, Recording] = {}
    for recording in recordings:
        for path in _paths(recording):
            other = first.setdefault(path, recording)
            if other is not recording:
                raise UsageError(
                    f"{path}: for {other.path} and {recording.path}; rename one, or align them "
                    "into different folders"
                )


def _paths(recording: Recording) -> list[Path]:
    """All files that are written for a recording."""
    words = _words_path(recording)
    return [*recording.outputs.values(), *([words] if words else [])]


def _words_path(recording: Recording) -> Path | None:
    phones = recording.outputs.get("ctm")
    if phones is None:
        return None
    return phones.with_name(phones.name.removesuffix(WRITERS["ctm"].suffix) + WORDS_CTM.suffix)


def _report_notes(notes: Sequence[str]) -> None:
    for note in notes[:MOST_NOTES]:
        report(f"note: {note}")
    if len(notes) > MOST_NOTES:
        report(f"note: and {len(notes) - MOST_NOTES} more like these")


@dataclass
class _Run:
    """Aligns recordings, one after the other, and writes their files.

    Attributes:
        aligner: finds the times.
        options: channel and labels.
        summary: of what has been done.
        assumed: words that the dictionary lacks → phones that were assumed.
    """

    aligner: Aligner
    options: TranscribeOptions
    summary: Summary = field(default_factory=Summary)
    assumed: dict[str, str] = field(default_factory=dict)

    def align(self, recording: Recording, text: Transcript | SpeechattnError) -> float | None:
        """Align a recording and write its files.

        Args:
            recording: to align.
            text: what is said in it, or why that is not known.

        Returns:
            Its length in seconds; None if it failed.
        """
        try:
            if isinstance(text, SpeechattnError):
                raise text
            with local_file(recording.path) as path:
                found = self.aligner.align(path, text.text, self.options)
            self._write(recording, found)
        except Exception as error:  # the other recordings must get their turn
            message = error_message(recording.path, error)
            if words := _words_path(recording):
                with contextlib.suppress(OSError):
                    words.unlink()
            line = failure_line(recording, message, kind_of(error), None)
            self.summary.add(line["record"])
            return None
        silence = self.aligner.recognizer.phones.silence
        warnings = low_confidence(found.transcription, silence)
        for warning in warnings:
            report(f"warning: {one_line(str(recording.path))}: {warning}")
        self.assumed.update(found.assumed)
        duration = found.transcription.duration
        self.summary.add({"status": "ok", "duration": duration, "warnings": warnings})
        return duration

    def _write(self, recording: Recording, found: AlignedRecording) -> None:
        silence = self.aligner.recognizer.phones.silence
        with RecordingOutputs(recording.outputs, recording.file, silence) as outputs:
            outputs.write(found.transcription)
        path = _words_path(recording)
        if path:
            words = WORDS_CTM.render(found.transcription, recording.file, silence)
            try:
                atomic_write_text(path, words, flush=False)
            except OSError as error:
                raise SpeechattnError(cannot_write(path, error)) from error
