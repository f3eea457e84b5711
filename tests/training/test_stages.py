"""Stages: what is run, what is skipped, and what a crash leaves."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import pytest
from support.work_folders import held_elsewhere

from speechattn.errors import UsageError
from speechattn.training.stages import (
    Stage,
    StageRunner,
    as_before,
    files_fingerprint,
    fingerprint,
)


class Chain:
    """Three stages, a → b → c, each of which writes its own file; ``ran`` lists what was run."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.inputs = {"a": 1, "b": 1, "c": 1}
        self.ran: list[str] = []
        self.said: list[str] = []
        self.fails: str | None = None
        stages = [
            Stage(name, lambda n=name: self._run(n), lambda n=name: self.inputs[n], [folder / name], needs)
            for name, needs in (("a", []), ("b", ["a"]), ("c", ["b"]))
        ]  # fmt: skip
        self.runner = StageRunner(stages, folder / "stamps.json", self.said.append)

    def _run(self, name: str) -> None:
        self.ran.append(name)
        (self.folder / name).write_text(name)
        if self.fails == name:
            raise KeyboardInterrupt

    def run(self, names="abc", force=False) -> str:
        """Run stages; which of them did anything."""
        self.ran.clear()
        self.runner.run(list(names), force)
        return "".join(self.ran)


@pytest.fixture
def chain(tmp_path) -> Chain:
    return Chain(tmp_path)


def test_a_second_run_skips_everything_and_says_so(chain):
    assert chain.run() == "abc"
    assert chain.said == ["a:", "b:", "c:"]
    chain.said.clear()
    assert chain.run() == ""
    assert chain.said == [f"{name}: up to date, skipped" for name in "abc"]


def test_another_process_knows_what_was_done(chain, tmp_path):
    chain.run()
    assert Chain(tmp_path).run() == ""


@pytest.mark.parametrize(("changed", "run"), [("a", "abc"), ("b", "bc"), ("c", "c")])
def test_changed_inputs_rerun_the_stage_and_all_after_it(chain, changed, run):
    chain.run()
    chain.inputs[changed] = 2
    assert chain.run() == run
    assert chain.run() == ""
    chain.inputs[changed] = 1  # and back: the results are now those of 2
    assert chain.run() == run


@pytest.mark.parametrize("lost", "abc")
def test_a_missing_output_is_made_again(chain, tmp_path, lost):
    chain.run()
    (tmp_path / lost).unlink()
    assert lost in chain.run()
    assert (tmp_path / lost).exists()
    assert chain.run() == ""


@pytest.mark.parametrize("order", list(itertools.permutations("abc")))
def test_stages_run_in_the_order_of_the_data(chain, order):
    assert chain.run(order) == "abc"


def test_a_stage_alone_needs_those_before_it(chain):
    with pytest.raises(UsageError, match="stage b: needs stage a.*add it: stages=a,b"):
        chain.run("b")
    assert chain.ran == []
    chain.run("a")
    assert chain.run("b") == "b"
    chain.inputs["a"] = 2
    with pytest.raises(UsageError, match="stage c: needs stage b"):
        chain.run("c")


def test_a_lost_output_far_back_makes_all_after_it_out_of_date(chain, tmp_path):
    chain.run()
    (tmp_path / "a").unlink()
    assert not any(chain.runner.up_to_date(name) for name in "abc")
    with pytest.raises(UsageError, match="stage c: needs stage b"):
        chain.run("c")


def test_force_runs_what_is_named_and_nothing_else(chain):
    chain.run()
    assert chain.run("b", force=True) == "b"
    assert chain.run() == ""


@pytest.mark.parametrize("crashed", "abc")
def test_a_crash_leaves_the_stage_not_up_to_date(chain, tmp_path, crashed):
    chain.run()
    chain.fails = crashed  # after its output was written
    with pytest.raises(KeyboardInterrupt):
        chain.run(crashed, force=True)
    again = Chain(tmp_path)
    assert not again.runner.up_to_date(crashed)
    assert crashed in again.run()
    assert again.run() == ""


def test_inputs_that_change_while_the_stage_runs_count_as_the_old_ones(chain):
    def run():
        chain.inputs["a"] = 2

    stage = Stage("a", run, lambda: chain.inputs["a"], [])
    runner = StageRunner([stage], chain.folder / "stamps.json", chain.said.append)
    runner.run(["a"])
    assert not runner.up_to_date("a")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff"])
def test_a_damaged_list_of_stamps_means_that_nothing_is_known(chain, tmp_path, data):
    chain.run()
    (tmp_path / "stamps.json").write_bytes(data)
    assert chain.run() == "abc"
    assert set(json.loads((tmp_path / "stamps.json").read_text())) == set("abc")


def test_fingerprints_tell_values_apart_and_not_the_order_of_keys():
    values = [None, 0, 1, 1.5, "1", [1], [[1]], [1, 2], [2, 1], {"a": 1}, {"a": 2}]
    assert len({fingerprint(value) for value in values}) == len(values)
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})


def test_the_fingerprint_of_files_sees_size_time_name_and_absence(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1")
    two.write_text("2")
    seen = [files_fingerprint([one, two])]
    assert files_fingerprint([two, one]) == seen[0]
    os.utime(one, ns=(1, 1))
    seen.append(files_fingerprint([one, two]))
    one.write_text("11")
    os.utime(one, ns=(1, 1))
    seen.append(files_fingerprint([one, two]))
    seen.append(files_fingerprint([one]))
    one.unlink()
    seen.append(files_fingerprint([one, two]))
    assert len(set(seen)) == len(seen)


def test_keys_added_since_change_no_fingerprint_while_they_are_0():
    section = {"speed": 0.0, "windows": []}
    assert as_before({**section, "codec_probability": 0.0, "teacher_weight": 0}) == section
    assert as_before({**section, "texts": [], "transcripts_weight": 0.0}) == section
    assert as_before({**section, "codec_probability": 0.1}) == {**section, "codec_probability": 0.1}


def test_stages_run_in_a_folder_where_nobody_else_is_at_work(tmp_path):
    chain = Chain(tmp_path)
    with held_elsewhere(tmp_path):
        with pytest.raises(UsageError, match="another training is at work in this folder"):
            chain.runner.run(["a"])
        assert chain.ran == []
    chain.runner.run(["a", "b", "c"])
    with held_elsewhere(tmp_path):
        chain.runner.run(["a", "b", "c"])  # has nothing to do there
    assert chain.ran == ["a", "b", "c"]
