"""Transcripts: which text belongs to which recording, and what is wrong with the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechattn.alignment.transcripts import find_transcripts
from speechattn.errors import CorpusError, UsageError

FILES = ("a/one.wav", "b/two.flac")


def written(folder: Path, **contents: str | bytes) -> Path:
    for name, content in contents.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def texts(found) -> dict[str, str]:
    return {file: transcript.text for file, transcript in found.texts.items()}


@pytest.mark.parametrize("names", [("a__one_txt", "b__two_lab"), ("one_lab", "two_txt")])
def test_a_folder_mirrored_or_flat(tmp_path, names):
    folder = written(tmp_path, **dict(zip(names, ("see him\nnow\n", "\ufeffthe\r\nsea\r\n"))))
    found = find_transcripts(folder, FILES)
    assert texts(found) == {FILES[0]: "see him now", FILES[1]: "the sea"}
    assert not found.problems and not found.notes


def test_labels_with_times_are_no_words(tmp_path):
    folder = written(tmp_path, one_lab="0 25 HH\n25 50 AY\n", two_txt="0 2 people\nor three\n")
    found = find_transcripts(folder, FILES)
    assert texts(found) == {FILES[1]: "0 2 people or three"}
    (said,) = map(str, found.problems.values())
    assert said == f"{folder}/one.lab: has labels with times; write the words alone"


def test_what_a_folder_lacks_and_has_too_much_is_named(tmp_path):
    folder = written(
        tmp_path,
        a__one_txt="see",
        a__one_lab="see",
        two_txt=" \n",
        three_txt="of none",
        latin_txt="caf\xe9".encode("latin-1"),
        _hidden_txt="x",
    )
    found = find_transcripts(folder, [*FILES, "latin.wav", "none.wav"])
    problems = {file: str(problem) for file, problem in found.problems.items()}
    assert "two transcripts" in problems["a/one.wav"] and "one.lab" in problems["a/one.wav"]
    assert "is empty" in problems["b/two.flac"] and "two.txt" in problems["b/two.flac"]
    assert "latin.txt:1: byte 0xe9 is not UTF-8" in problems["latin.wav"]
    assert "none.txt or" in problems["none.wav"] and "none.lab" in problems["none.wav"]
    assert [problem.kind for problem in found.problems.values()] == [
        "unreadable", "empty", "unreadable", "missing"
    ]  # fmt: skip
    assert not found.texts
    assert found.notes == [f"{folder / 'three.txt'}: a transcript of no recording; left out"]


def test_equal_names_in_two_folders_need_mirrored_transcripts(tmp_path):
    folder = written(tmp_path, one_txt="whose", b__one_txt="mine")
    found = find_transcripts(folder, ["a/one.wav", "b/one.wav"])
    assert texts(found) == {"b/one.wav": "mine"}
    assert "a/one.wav" in found.problems and len(found.notes) == 1


def test_one_file_for_one_recording(tmp_path):
    path = written(tmp_path, words_txt="see\nhim") / "words.txt"
    assert texts(find_transcripts(path, FILES[:1])) == {FILES[0]: "see him"}


@pytest.mark.parametrize("name", ["text", "all.txt"])
def test_a_kaldi_file(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"one SEE HIM\r\n\r\ntwo THE SEA\r\nthree NONE\r\n")
    found = find_transcripts(path, FILES)
    assert texts(found) == {FILES[0]: "SEE HIM", FILES[1]: "THE SEA"}
    assert found.notes == [f"{path}:4: three: no such recording; left out"]


def test_a_kaldi_file_with_faults(tmp_path):
    path = tmp_path / "text"
    path.write_text("one SEE\none HIM\nb/two\n")
    found = find_transcripts(path, [*FILES, "c.wav"])
    problems = {file: str(problem) for file, problem in found.problems.items()}
    assert problems[FILES[0]].startswith(f"{path}:2: ") and f"{path}:1" in problems[FILES[0]]
    assert problems[FILES[1]].startswith(f"{path}:3: the text of b/two.flac is empty")
    assert "add a line for it" in problems["c.wav"] and not found.texts


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", '\ufeffFile,Speaker,Text\na/one.wav,x,"see, him"\r\ntwo,y,the sea\n,,\nodd\n'),
        ("t.tsv", "path\tsentence\nclips/one.wav\tsee, him\nb/two.flac\tthe sea\n\t\nodd\n"),
    ],
)
def test_tables(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content.encode())
    found = find_transcripts(path, FILES)
    assert texts(found) == {FILES[0]: "see, him", FILES[1]: "the sea"}
    assert [note.partition(": ")[0] for note in found.notes] == [f"{path}:4", f"{path}:5"]


def test_a_table_without_a_column(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("file,speaker\na,b\n")
    with pytest.raises(CorpusError, match=r"t\.csv:1: no column for the text .*transcript"):
        find_transcripts(path, FILES)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("one caf\xe9".encode("latin-1"), "Latin-1; save it as UTF-8"),
        ("one see".encode("utf-16-le"), "UTF-16 without a byte order mark; save it as UTF-8"),
    ],
)
def test_other_encodings_are_refused(tmp_path, data, message):
    path = tmp_path / "text"
    path.write_bytes(data)
    with pytest.raises(CorpusError, match=message):
        find_transcripts(path, FILES)


def test_no_such_place(tmp_path):
    with pytest.raises(CorpusError, match="no such file or folder"):
        find_transcripts(tmp_path / "none", FILES)


def test_what_an_aligner_wrote_is_no_second_transcript(tmp_path):
    grid = [
        "ooTextFile",
        "TextGrid",
        0,
        1,
        "<exists>",
        1,
        "IntervalTier",
        "words",
        0,
        1,
        1,
        0,
        1,
        "x",
    ]
    text = " ".join(f'"{value}"' if str(value).isalpha() else str(value) for value in grid)
    written(tmp_path, a__one_txt="see", a__one_TextGrid=text, two_txt="the sea")
    found = find_transcripts(tmp_path, FILES)
    assert texts(found) == {FILES[0]: "see", FILES[1]: "the sea"} and not found.notes
    found.check_outputs([tmp_path / "a/one.TextGrid", tmp_path / "other.txt"])
    with pytest.raises(UsageError, match="two.txt: is a transcript, and would be written over"):
        found.check_outputs([tmp_path / "a/.." / "two.txt"])


def test_a_text_is_not_written_over(tmp_path):
    path = written(tmp_path, words_txt="see\nhim") / "words.txt"
    with pytest.raises(UsageError, match="words.txt"):
        find_transcripts(path, FILES[:1]).check_outputs([path])


@pytest.mark.parametrize(
    ("recording", "text"),
    [
        ("filename", "sentence"),
        ("file_name", "transcription"),
        ("file", "transcript"),
        ("wav", "wrd"),
        ("audio", "text"),
        ("audio_file", "text"),
        ("audio_filepath", "text"),
        ("wav_filename", "transcript"),
        ("audio_path", "text"),
        ("path", "sentence"),
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_and_what_separates_them(tmp_path, recording, text, separator):
    path = tmp_path / "t.csv"
    rows = [(recording, "Size", text), (FILES[0], "1", "see him"), ("two", "2", "the sea")]
    path.write_text("".join(separator.join(row) + "\n" for row in rows))
    assert texts(find_transcripts(path, FILES)) == {FILES[0]: "see him", FILES[1]: "the sea"}


def test_a_table_of_a_german_spreadsheet(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("file;start;end;text\none;0,25;1,5;see, him\ntwo;1.5;;the sea\n")
    found = find_transcripts(path, FILES)
    assert texts(found) == {FILES[0]: "see, him", FILES[1]: "the sea"}
    starts = [each.utterances[0][2:4] for each in found.texts.values()]
    assert starts == [(0.25, 1.5), (1.5, float("inf"))]


def test_a_table_that_is_not_understood_says_what_was_assumed(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("file;words, all;speaker\na;b;c\n")
    with pytest.raises(CorpusError, match=r"no column for the text .*separated by semicolons;"):
        find_transcripts(path, FILES)
