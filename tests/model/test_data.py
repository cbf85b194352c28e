"""What is wrong with a data set is said in one line; what is right with features survives being kept."""

from pathlib import Path

import numpy as np
import pytest

from model.data.dataset import DataError, Dataset
from model.data.features import ClipFeatures, KindFeatures
from model.data.recipe import EVERYDAY, Recipe, RecipeError
from model.metrics.calibration import calibration, fit_temperature, nll
from model.metrics.confusion import confusion
from service.inference.card import Evidence, Grid
from service.inference.sequence import Sequence
from tests.model.clips import TORCH, WITHOUT_TORCH
from tests.require import need

GOOD = "path,label,source,fold\na.avi,run,x,0\nb.avi,walk,y,1\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for name in ("a.avi", "b.avi"):
        (tmp_path / name).write_bytes(b"clip")
    return tmp_path / "clips.csv"


def test_a_data_set_is_read(table: Path) -> None:
    table.write_text(GOOD)
    dataset = Dataset.read(table)
    assert dataset.labels == ("run", "walk")
    assert dataset.folds == (0, 1)
    assert [clip.path.name for clip in dataset.clips] == ["a.avi", "b.avi"]
    assert dataset.digest == Dataset.read(table).digest


def test_paths_start_from_the_directory_of_the_same_name(table: Path) -> None:
    (table.parent / "clips").mkdir()
    for name in ("a.avi", "b.avi"):
        (table.parent / name).rename(table.parent / "clips" / name)
    table.write_text(GOOD)
    assert Dataset.read(table).clips[0].path == table.parent / "clips/a.avi"
    assert Dataset.read(table, table.parent / "clips").clips[0].path.is_file()


def test_evaluation_needs_neither_source_nor_fold(table: Path) -> None:
    table.write_text("path,label\na.avi,run\n")
    assert Dataset.read(table, folds=False).clips[0].label == "run"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "lacks the columns path, label, source, fold"),
        ("path,label,source\na.avi,run,x\n", "lacks the column fold"),
        ("path,label,source,fold\n", "lists no clip"),
        ("path,label,source,fold\nz.avi,run,x,0\n", "line 2: there is no file"),
        ("path,label,source,fold\na.avi,,x,0\n", "line 2: the label is empty"),
        ("path,label,source,fold\na.avi,run,x,one\n", "line 2: the fold is 'one'"),
        ("path,label,source,fold\na.avi,run,x,0\nb.avi,run,y,1\n", "has 1 label"),
        ("path,label,source,fold\na.avi,run,x,0\nb.avi,walk,x,1\n", "the source x lies in the folds 0 and 1"),
    ],
)
def test_what_is_wrong_is_named(content: str, said: str, table: Path) -> None:
    table.write_text(content)
    with pytest.raises(DataError, match=said):
        Dataset.read(table)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv cannot be read: No such file"):
        Dataset.read(tmp_path / "none.csv")


def test_a_table_that_is_none_is_named(table: Path) -> None:
    table.write_bytes(b"path,label,source,fold\n\xff\xfe")
    with pytest.raises(DataError, match="is no CSV in UTF-8"):
        Dataset.read(table)


def test_a_recipe_is_read_and_its_faults_are_named(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(EVERYDAY.model_dump_json())
    assert Recipe.read(path) == EVERYDAY
    path.write_text('{"evidence": [], "sampling": {"num_clips": 0, "clip_len": 1, "fps": 1}}')
    with pytest.raises(RecipeError, match=r"evidence: .*sampling\.num_clips"):
        Recipe.read(path)
    with pytest.raises(RecipeError, match="cannot be read"):
        Recipe.read(tmp_path / "none.json")


def test_features_survive_being_kept_and_are_held(tmp_path: Path) -> None:
    values, maps = np.arange(6, dtype=np.float16).reshape(3, 2), np.arange(12, dtype=np.float16).reshape(3, 2, 1, 2)
    sparse = KindFeatures(values, np.array([0, 0, 1]), np.array([0, 4, 0]), maps)
    features = ClipFeatures({"appearance": sparse}, (6, 2))
    features.save(tmp_path / "ab" / "clip.npz")
    found = ClipFeatures.load(tmp_path / "ab" / "clip.npz")
    assert found.lengths == (6, 2)
    np.testing.assert_array_equal(found.kinds["appearance"].features, values)
    np.testing.assert_array_equal(found.kinds["appearance"].maps, maps)
    assert found.held("appearance", 0).tolist() == [0] * 4 + [1] * 2
    assert found.held("appearance", 1).tolist() == [2] * 2
    assert [path.name for path in (tmp_path / "ab").iterdir()] == ["clip.npz"]


def test_training_holds_features_as_serving_does(tmp_path: Path) -> None:
    need("train", TORCH, WITHOUT_TORCH)
    import torch

    from model.training.windows import Windows

    grid = Grid(rows=2, columns=1, channels=3)
    kind = Evidence(name="look", picture="rgb", size=8, cadence=4, features=3, map=grid, file="look.onnx")
    windows, steps = np.array([0, 0, 0, 1, 1]), np.array([0, 4, 8, 0, 4])
    draw = np.random.default_rng(1)
    values, maps = draw.random((5, 3)).astype(np.float16), draw.random((5, 2, 1, 3)).astype(np.float16)
    lengths = (10, 7)
    seen = ClipFeatures({kind.name: KindFeatures(values, windows, steps, maps)}, lengths)
    training, _ = Windows.of([[seen], [seen]], [0, 1], [kind.name], tmp_path).batch(torch.tensor([2, 3]))
    serving = Sequence([kind])
    for place, (window, step) in enumerate(zip(windows.tolist(), steps.tolist(), strict=True)):
        serving.put("look", window, step, values[place].astype(np.float32))
        serving.put("look_map", window, step, maps[place].astype(np.float32))
    served = serving.inputs(lengths)
    for name in ("look", "look_map"):
        for window, length in enumerate(lengths):
            np.testing.assert_array_equal(training[name][window, :length], served[name][window, :length])


def test_a_feature_that_no_clip_of_few_had_does_not_outweigh_all_others(tmp_path: Path) -> None:
    need("train", TORCH, WITHOUT_TORCH)
    import torch

    from model.net.classifier import Classifier, ClassifierConfig
    from model.training.fit import standardise
    from model.training.windows import Windows

    draw = np.random.default_rng(2)
    places = np.zeros(6, dtype=np.int64), np.arange(6)
    clips = []
    for _ in range(4):
        values = draw.random((6, 10)).astype(np.float16)
        values[:, 9] = 0
        clips.append([ClipFeatures({"look": KindFeatures(values, *places)}, (6,))])
    windows = Windows.of(clips, [0, 1, 0, 1], ["look"], tmp_path)
    head = Classifier(ClassifierConfig({"look": 10}, 2, "mean", spread=True))
    standardise(head, windows, torch.arange(4))
    assert head.spread is not None
    with torch.no_grad():
        for part in (*head.experts.parameters(), *head.spread.experts.parameters()):
            part.fill_(0.1)
        other = torch.rand(1, 6, 10)
        other[:, ::2, 9] = 1
        logits = head({"look": other}, torch.tensor([6]), head.start(1)).logits
    assert logits.abs().max() < 100


def test_a_fitted_temperature_makes_the_right_labels_likelier() -> None:
    draw = np.random.default_rng(3)
    labels = draw.integers(0, 4, 500)
    honest = draw.normal(size=(500, 4)) + 1.5 * np.eye(4)[labels]
    sure = 5 * honest
    temperature = fit_temperature(sure, labels)
    assert nll(sure, labels, temperature) < nll(sure, labels, 1)
    assert temperature == pytest.approx(5 * fit_temperature(honest, labels), rel=0.01)
    assert calibration(sure, labels, temperature).ece < calibration(sure, labels).ece


def test_a_confusion_matrix_counts_actions_by_row() -> None:
    matrix = confusion(np.array([0, 1, 1]), np.array([0, 0, 2]), 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 0]]
