"""The adding problem and the study of gradients: the problem is as posed, cells learn it, and a study goes on."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner, Result

from model import cli
from tests.model.clips import TORCH, WITHOUT_TORCH
from tests.require import need

if TORCH or TYPE_CHECKING:
    import torch

    from model.study.adding import BASELINE, Adder, Problems, Task, learn
    from model.study.study import CELLS, STEPS, Study, StudyError, limit, tasks


@pytest.fixture(autouse=True, scope="module")
def _torch() -> Iterator[None]:
    need("train", TORCH, WITHOUT_TORCH)
    # Networks this small wait for a second thread longer than it saves them.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def draw(batch: int, steps: int, seed: int = 0) -> "Problems":
    return Problems.draw(batch, steps, torch.Generator().manual_seed(seed))


def test_two_numbers_are_marked_one_in_each_half_and_their_sum_is_the_answer() -> None:
    problems = draw(200, 7)
    numbers, marks = problems.input.unbind(2)
    assert ((numbers >= 0) & (numbers <= 1)).all()
    assert (marks[:, :3].sum(1) == 1).all()
    assert (marks[:, 3:].sum(1) == 1).all()
    assert marks.sum(0).min() > 0
    for row in range(5):
        at = marks[row].nonzero()[:, 0]
        assert float(problems.answer[row]) == pytest.approx(float(numbers[row, at].sum()))


def test_problems_differ_from_draw_to_draw() -> None:
    generator = torch.Generator().manual_seed(1)
    first, second = (Problems.draw(4, 5, generator) for _ in range(2))
    assert not torch.equal(first.input, second.input)


def test_always_answering_one_costs_the_baseline() -> None:
    assert float((draw(50_000, 4).answer - 1).square().mean()) == pytest.approx(BASELINE, rel=0.02)


def test_gates_opened_for_long_keep_numbers_for_up_to_so_many_steps() -> None:
    torch.manual_seed(0)
    cell = Adder("chrono", 1000, 100).cell
    of_input, of_forget, *_ = cell.project(torch.zeros(1, 2))[0].detach().chunk(4)
    lasts = 1 / (1 - of_forget.sigmoid())
    assert 2 <= float(lasts.min()) < 5
    assert 95 < float(lasts.max()) <= 100
    assert torch.equal(of_input, -of_forget)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "peephole", "article", "layernorm", "chrono"])
def test_each_cell_learns_to_add_two_numbers_out_of_four(cell: str) -> None:
    task = Task.model_validate({"cell": cell, "steps": 4, "iterations": 400, "hidden": 16, "every": 25})
    _, found = learn(task)
    assert found.solved, found.tests
    assert found.tests[-1].iteration < 400
    assert all(test.error < task.solved for test in found.tests[-2:])


def test_trainings_of_one_task_are_alike() -> None:
    task = Task(cell="lstm", steps=5, iterations=4, hidden=3, every=2)
    (one, first), (other, second) = learn(task), learn(task)
    assert first.tests == second.tests
    assert [test.iteration for test in first.tests] == [2, 4]
    assert all(map(torch.equal, one.parameters(), other.parameters()))


def test_limits_of_lengths_that_were_not_studied_are_those_of_the_next_shorter() -> None:
    assert limit(5) == limit(100) == limit(399)
    assert limit(800) == limit(5000)


app = typer.Typer()
app.command()(cli.study)


def study(directory: Path) -> Result:
    result = CliRunner().invoke(app, ["-o", str(directory), *TINY])
    assert result.exit_code == 0, result.output
    return result


TINY = ["--steps", "6", "--steps", "4", "--iterations", "5", "--hidden", "4"]


def test_a_study_writes_its_tables_and_pictures_and_goes_on_where_it_was(tmp_path: Path) -> None:
    done = study(tmp_path / "study")
    assert "layernorm, 4 steps: not solved after 5, least error" in done.stdout
    with (tmp_path / "study" / "adding.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["cell"], row["steps"]) for row in rows] == [(cell, steps) for steps in ("4", "6") for cell in CELLS]
    assert {row["iteration"] for row in rows} == {"5"}
    with (tmp_path / "study" / "gradients.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == (2 * len(CELLS) + 1) * STEPS
    assert all(float(row["by_hidden"]) > 0 for row in rows)
    for picture in ("gradient-flow.png", "adding-problem.png"):
        content = (tmp_path / "study" / picture).read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) < 120_000

    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "study").glob("*-*.json")}
    assert len(kept) == 2 * len(CELLS)
    lost = tmp_path / "study" / "peephole-6.json"
    before = Study(tmp_path / "study").learnt(Task(cell="peephole", steps=6, iterations=5, hidden=4))
    lost.unlink()
    assert study(tmp_path / "study").stdout == done.stdout
    assert [path for path, at in kept.items() if path.stat().st_mtime_ns != at] == [lost]
    after = Study(tmp_path / "study").learnt(Task(cell="peephole", steps=6, iterations=5, hidden=4))
    assert before
    assert after
    assert after.tests == before.tests


def test_a_study_with_other_settings_is_not_mixed_in(tmp_path: Path) -> None:
    kept = Study(tmp_path)
    (task,) = tasks({4: 2}, 3, ["rnn"])
    assert kept.learnt(task) is None
    kept.learn(task)
    with pytest.raises(StudyError, match="other settings") as refusal:
        kept.learn(task.model_copy(update={"hidden": 5}))
    assert "another directory" in refusal.value.advice
    (tmp_path / "rnn-4.json").write_text("{}", encoding="utf-8")
    with pytest.raises(StudyError, match="cannot be read"):
        kept.learn(task)
