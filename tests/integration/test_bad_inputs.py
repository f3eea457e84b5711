"""The command over hundreds of bad and odd inputs: nothing crashes, hangs or goes unsaid.

One run for all of them, as a user would start it. ``SPEECHATTN_SEEDS=20`` repeats it with more
seeds and more places to cut at.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.bad_headers import RATE, voice, wav
from support.bad_inputs import Case, Maker, add_damage, add_encodings, make_all
from support.recordings import needs_posix

import speechattn
from speechattn.audio.load import AudioFile
from speechattn.errors import AudioError
from speechattn.text import one_line
from speechattn.transcription.inputs import collect

pytestmark = needs_posix
IMPORT_FROM = str(Path(speechattn.__file__).resolve().parents[1])
SEEDS = int(os.environ.get("SPEECHATTN_SEEDS", "1"))
LIMIT = 900  # seconds: a run of mostly 7 that takes longer hangs, on whatever machine
FORMATS = ["textgrid", "ctm"]
OF_THE_RUN = {"transcripts.jsonl", "run.json", "journal.jsonl"}  # besides the outputs
# Without these two a process of root may read no more than anybody else.
WITHOUT_PRIVILEGES = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
for capability in (1, 2):  # to override permissions; to read and search in spite of them
    if libc.prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
        sys.exit("cannot drop privileges")
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@dataclass(frozen=True)
class Run:
    """What the command left behind.

    Attributes:
        maker: of its inputs.
        out: the folder of outputs.
        status: its exit status.
        said: lines on standard error.
        records: lines of ``transcripts.jsonl``.
    """

    maker: Maker
    out: Path
    status: int
    said: list[str]
    records: list[dict]


def command(*arguments: str | Path, limit: float = LIMIT, before=(), **options):
    """Run ``speechattn`` as a process of its own; gives it when it has ended."""
    path = os.pathsep.join(filter(None, [IMPORT_FROM, os.environ.get("PYTHONPATH")]))
    line = [sys.executable, *before, "-m", "speechattn", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    options = {"cwd": Path(__file__).parent, "env": environment} | options
    return subprocess.run(line, check=False, capture_output=True, timeout=limit, **options)


def lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "backslashreplace").splitlines()


def read_list(out: Path) -> list[dict]:
    text = (out / "transcripts.jsonl").read_bytes().decode()
    return [json.loads(line) for line in text.splitlines()]


def transcribe(maker: Maker, out: Path, before=()) -> Run:
    done = command(
        *("transcribe", maker.folder, "--output-dir", out, "--format", ",".join(FORMATS)),
        before=before,
    )
    return Run(maker, out, done.returncode, lines(done.stderr), read_list(out))


@pytest.fixture(scope="module", params=range(SEEDS))
def run(request, tmp_path_factory) -> Run:
    """The command over everything, with two recordings that grow while it runs."""
    folder = tmp_path_factory.mktemp("bad")
    maker = make_all(folder / "in", request.param, cuts=1 if SEEDS == 1 else 4)
    pcm = (voice(16_000) * 32767).astype("<i2").tobytes()
    # An error if it grew in the very milliseconds in which it was read. If not: what the header
    # says; where it says "to the end", the end at the time.
    maker.file("grows/declared.wav", wav(pcm), "either", 1.0)
    maker.file("grows/streamed.wav", wav(pcm, 0xFFFFFFFF), "either", 1.0, surplus=3600.0)
    locked, before = maker.file("kinds/locked.wav", wav(pcm), "error"), ()
    locked.chmod(0)
    if os.access(locked, os.R_OK):
        before = ("-c", WITHOUT_PRIVILEGES) if _can_drop_privileges() else None
    if before is None:
        locked.unlink()
        maker.cases.pop()
        maker.left_out.append("kinds/locked.wav: this user may read everything")
    growing = [folder / "in" / "grows" / name for name in ("declared.wav", "streamed.wav")]
    with _grower(growing, pcm[:3200]):
        return transcribe(maker, folder / "out", before or ())


def _can_drop_privileges() -> bool:
    line = [sys.executable, "-c", WITHOUT_PRIVILEGES, "-c", ""]
    return subprocess.run(line, check=False, capture_output=True).returncode == 0


class _grower:
    """Adds a piece to files every few milliseconds while the block runs."""

    def __init__(self, paths: list[Path], piece: bytes) -> None:
        self.paths, self.piece, self.over = paths, piece, threading.Event()
        self.thread = threading.Thread(target=self._grow)

    def _grow(self) -> None:
        for _ in range(10_000):  # 32 MB a file, whatever else goes wrong
            for path in self.paths:
                with path.open("ab") as file:
                    file.write(self.piece)
            if self.over.wait(0.005):
                return

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *exception) -> None:
        self.over.set()
        self.thread.join()


def problems_of(record: dict, case: Case) -> str | None:
    """What is wrong with the account of one input; None if nothing is."""
    if record["status"] not in ("ok", "error"):
        return f"status {record['status']!r}"
    if case.verdict not in ("either", record["status"]):
        return f"is {record['status']} ({record['error']}), not {case.verdict}"
    if record["status"] == "error":
        error = record["error"]
        if "\n" in error or not error.isprintable():
            return f"not one line: {error!r}"
        if one_line(case.file) not in error:
            return f"the file is not named in {error!r}"
        if ";" not in error:
            return f"no way out in {error!r}"
        if re.search(r"\b[A-Z]\w*(Error|Exception)\b|Traceback", error):
            return f"an exception nobody thought of: {error!r}"
        if record["phones"] or record["duration"] is not None:
            return "phones or a duration in spite of an error"
        return None
    phones, duration = record["phones"], record["duration"]
    if record["error"] is not None or not phones:
        return f"ok with error {record['error']!r} and {len(phones)} phones"
    if not case.seconds - 6e-7 <= duration <= case.seconds + case.surplus + 6e-7:
        return f"{duration} s, written as {case.seconds} to {case.seconds + case.surplus} s"
    edges = [0.0, *(phone["end"] for phone in phones)]
    if [phone["start"] for phone in phones] != edges[:-1] or edges[-1] != duration:
        return "phones do not tile the recording"
    if any(a >= b for a, b in itertools.pairwise(edges)):
        return "a phone without length"
    if not all(0 <= phone["confidence"] <= 1 for phone in phones):
        return "a confidence that is none"
    return None


def test_at_least_200_inputs_of_every_kind(run):
    assert len(run.maker.cases) >= 200
    for group in ("whole", "cut", "headers", "samples", "damage", "names", "kinds", "grows"):
        assert sum(case.file.startswith(f"{group}/") for case in run.maker.cases) >= 2, group
    verdicts = [case.verdict for case in run.maker.cases]
    assert verdicts.count("error") >= 200 and verdicts.count("ok") >= 100
    for reason in run.maker.left_out:
        print(f"left out: {reason}")


def test_every_input_is_accounted_for_once(run):
    files = [record["file"] for record in run.records]
    assert len(files) == len(set(files))
    assert set(files) == {case.file for case in run.maker.cases}


def test_every_account_is_true(run):
    cases = {case.file: case for case in run.maker.cases}
    found = {r["file"]: problems_of(r, cases[r["file"]]) for r in run.records}
    wrong = [f"{file!r}: {problem}" for file, problem in found.items() if problem]
    assert not wrong, "\n".join(wrong)


def test_exit_status_and_messages(run):
    assert run.status == 1
    assert "Traceback" not in "\n".join(run.said)
    errors = [record["error"] for record in run.records if record["status"] == "error"]
    for error in errors:
        assert any(error in line for line in run.said), error
    summary = f"{len(run.records) - len(errors)} files ok, {len(errors)} failed"
    assert any(summary in line for line in run.said)


def test_outputs_exist_for_what_is_ok_and_for_nothing_else(run):
    jobs = collect([run.maker.folder], run.out, FORMATS)
    ok = {record["file"] for record in run.records if record["status"] == "ok"}
    wanted = {path for job in jobs if job.file in ok for path in job.outputs.values()}
    found = {Path(top, name) for top, _, names in os.walk(run.out) for name in names}
    assert found - {run.out / name for name in OF_THE_RUN} == wanted
    assert all(path.stat().st_size for path in wanted)


def test_the_same_seed_makes_the_same_inputs(tmp_path):
    makers = [Maker(tmp_path / str(number), seed) for number, seed in enumerate((5, 5, 6))]
    for maker in makers:
        add_encodings(maker)
        add_damage(maker)
    one, other, _ = makers
    assert one.cases == other.cases
    sizes = [[(m.folder / case.file).stat().st_size for case in m.cases] for m in makers]
    assert sizes[0] == sizes[1] != sizes[2]
    for case in one.cases:  # not all: libsndfile writes dates and random serial numbers
        if "/WAV_PCM" in case.file or "/noise" in case.file:
            assert (one.folder / case.file).read_bytes() == (other.folder / case.file).read_bytes()


# --- what a run over a folder cannot show -----------------------------------------------------


def test_a_recording_that_shrinks_while_it_is_read(tmp_path):
    pcm = (voice(RATE * 20) * 32767).astype("<i2").tobytes()
    path = tmp_path / "a.wav"
    path.write_bytes(wav(pcm))
    with AudioFile(path) as audio:
        blocks = audio.blocks(1.0)
        next(blocks)
        os.truncate(path, len(pcm) // 2)
        with pytest.raises(AudioError, match=r"a\.wav: cut off or damaged: .*copy it again"):
            list(blocks)


def test_a_folder_without_permission_is_named(tmp_path):
    folder = tmp_path / "in" / "locked"
    folder.mkdir(parents=True)
    (folder.parent / "a.wav").write_bytes(wav(bytes(3200)))
    folder.chmod(0)
    before = ()
    try:
        if os.access(folder, os.R_OK):
            if not _can_drop_privileges():
                pytest.skip("this user may read everything, and privileges cannot be dropped")
            before = ("-c", WITHOUT_PRIVILEGES)
        done = command("transcribe", folder.parent, "--output-dir", tmp_path / "out", before=before)
    finally:
        folder.chmod(0o700)
    assert done.returncode in (1, 2) and len(lines(done.stderr)) <= 3
    assert str(folder).encode() in done.stderr and b"permission" in done.stderr.lower()
