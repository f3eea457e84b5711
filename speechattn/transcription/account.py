"""The account of a run: how much went well, what failed and why, what looked odd."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Summary:
    """What came of a run.

    Attributes:
        succeeded: number of recordings transcribed.
        failures: (file, kind of failure, message) of the others, in input order.
        warnings: number of recordings with each kind of warning.
        warned: number of recordings with any.
        audio_seconds: length of what was transcribed.
        kept: number of recordings, of both sorts, that an earlier run had done.
        new_audio_seconds: length of what was transcribed, without what was kept.
        wall_seconds: time it took, without loading the model.
        complete: whether every recording was dealt with.
    """

    succeeded: int = 0
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    warnings: Counter[str] = field(default_factory=Counter)
    warned: int = 0
    audio_seconds: float = 0.0
    kept: int = 0
    new_audio_seconds: float = 0.0
    wall_seconds: float = 0.0
    complete: bool = True

    @property
    def errors(self) -> list[str]:
        """One message a failed recording, in input order."""
        return [message for _, _, message in self.failures]

    @property
    def real_time_factor(self) -> float:
        """Seconds of audio a second of work, of what was not kept."""
        return self.new_audio_seconds / self.wall_seconds if self.wall_seconds > 0 else 0.0

    def add(self, record: dict, *, kept: bool = False) -> None:
        """Count a recording by its line of ``transcripts.jsonl``."""
        self.kept += kept
        if record["status"] != "ok":
            self.failures.append((record["file"], record["kind"], record["error"]))
            return
        self.succeeded += 1
        self.audio_seconds += record["duration"]
        if not kept:
            self.new_audio_seconds += record["duration"]
        self.warned += bool(record["warnings"])
        self.warnings.update({warning.partition(":")[0] for warning in record["warnings"]})

    def to_dict(self) -> dict:
        """As JSON values."""
        return {
            "complete": self.complete,
            "files": self.succeeded + len(self.failures),
            "succeeded": self.succeeded,
            "failed": len(self.failures),
            "failures": dict(self._kinds()),
            "files_with_warnings": self.warned,
            "warnings": dict(self.warnings.most_common()),
            "audio_hours": round(self.audio_seconds / 3600, 4),
            "done_before": self.kept,
            "seconds": round(self.wall_seconds, 1),
            "real_time_factor": round(self.real_time_factor, 1),
        }

    def _kinds(self) -> list[tuple[str, int]]:
        return Counter(kind for _, kind, _ in self.failures).most_common()

    def __str__(self) -> str:
        hours, speed = self.new_audio_seconds / 3600, self.real_time_factor
        parts = [
            f"{self.succeeded} files ok, {len(self.failures)} failed",
            f"{hours:.2f} h of audio in {self.wall_seconds:.1f} s, {speed:.1f} x real time",
        ]
        if self.kept:
            parts.append(f"{self.kept} files were done before")
        if self.failures:
            parts.append(f"failures: {_counts(self._kinds())}")
        if self.warned:
            counts = _counts(self.warnings.most_common())
            parts.append(f"warnings for {self.warned} files: {counts}")
        return "; ".join(parts)


def _counts(pairs: list[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {name}" for name, count in pairs)
