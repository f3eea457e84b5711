"""What ``speechattn align`` says at its end: what was assumed, and where texts differ."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from speechattn.alignment.aligner import DIFFERENCES
from speechattn.cli.messages import report
from speechattn.errors import SpeechattnError, cannot_write
from speechattn.files import atomic_write_text
from speechattn.text import counted, json_line, one_line
from speechattn.transcription.run_record import RunFiles, Summary

TABLES = {".csv": ",", ".tsv": "\t"}
COLUMNS = ("file", "start", "end", "kind", "words", "heard", "score", "error")
MOST_PRINTED = 20  # differences that are printed one by one


class AlignReport:
    """Differences between texts and recordings, and words that no dictionary has, of a whole run.

    Args:
        records: of its recordings, as lines of ``transcripts.jsonl``.
        summary: of the run.
    """

    def __init__(self, records: Iterable[Mapping[str, Any]], summary: Summary) -> None:
        self._summary = summary
        self._differences: list[dict[str, Any]] = []
        self._assumed: dict[str, str] = {}
        for record in records:
            self._assumed.update(record.get("assumed", {}))
            self._differences += (
                {"file": record["file"], **each} for each in record.get(DIFFERENCES, ())
            )

    def tell(self, path: str | None, *, quiet: bool) -> None:
        """Write the file of ``--errors``, and print the rest.

        Args:
            path: of that file; None for none.
            quiet: print nothing.

        Raises:
            SpeechattnError: if the file cannot be written.
        """
        if path is not None:
            self._write(Path(path))
        if quiet:
            return
        for word, ways in sorted(self._assumed.items()):
            report(f"assumed: {word} is said {ways}; list it in a file for --lexicon if it is not")
        shown = self._differences if path is None else []
        for each in shown[:MOST_PRINTED]:
            words = f" ({each['words']})" if each["words"] else ""
            name = one_line(each["file"])
            place = f"{each['start']:.3f}-{each['end']:.3f} s"
            report(f"differs: {name} {place}: {each['kind']}{words}")
        if self._differences:
            kinds = Counter(each["kind"] for each in self._differences)
            counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
            recordings = len({each["file"] for each in self._differences})
            where = path or "--errors FILE writes all of them"
            report(
                f"texts and recordings differ in {counted(len(self._differences), 'place')} of "
                f"{counted(recordings, 'recording')}: {counts}; {where}"
            )

    def _write(self, path: Path) -> None:
        rows = [
            *self._differences,
            *(
                {"file": file, "kind": kind, "error": message}
                for file, kind, message in self._summary.failures
            ),
        ]
        if path.suffix.lower() in TABLES:
            buffer = io.StringIO()
            delimiter = TABLES[path.suffix.lower()]
            table = csv.DictWriter(buffer, COLUMNS, delimiter=delimiter, lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
            text = buffer.getvalue()
        else:
            text = "".join(json_line(row) + "\n" for row in rows)
        try:
            atomic_write_text(path, text)
        except OSError as error:
            raise SpeechattnError(cannot_write(path, error)) from error


def records_of(files: RunFiles, own: Collection[str]) -> Iterator[dict[str, Any]]:
    """Yield the records of a run; none if it has not come to its end.

    Args:
        files: of the run.
        own: names of its recordings: its list has those of other runs in the folder as well.
    """
    try:
        with files.transcripts.open(encoding="utf-8") as lines:
            yield from (record for record in map(json.loads, lines) if record["file"] in own)
    except FileNotFoundError:
        return
