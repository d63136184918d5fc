"""Training class prompts: what learns and what stays, going on after a stop, cached and online alike, and refusals."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from trocar.classprompt import open_class_model, read_class_config
from trocar.classprompt.class_model import ClassAnswers
from trocar.classprompt.contrast import class_embeddings
from trocar.classprompt.embeddings import CacheMismatch
from trocar.datasets import endovis17, endovis18_instruments, vocalfolds
from trocar.metrics import endovis
from trocar.model.checkpoint import read_head
from trocar.settings import read_settings, settings_from, to_toml
from trocar.train.class_prompt_data import ClassPictures, Sample
from trocar.train.class_prompt_losses import Asked, answer_losses, squared_dice
from trocar.train.class_prompt_pictures import list_shots
from trocar.train.class_prompt_recipe import ClassLosses, ClassPromptRecipe, HeadSettings, Selection
from trocar.train.class_prompt_score import class_scores
from trocar.train.class_prompt_start import Corpus, frozen_network, open_pictures
from trocar.train.class_prompts import BEST, WEIGHTS, ClassPromptTrainer, ClassRun, train_classes
from trocar.train.losses import Truth

NAMES = ("vocal folds", "glottal space", "surgical tool")
RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny set in the layout of vocalfolds: 3 frames of each sequence, boxes of classes 1, 2, 3 and 5."""
    place = tmp_path_factory.mktemp("sets")
    vocalfolds.write_fixture(place / "vocalfolds")
    return place


@pytest.fixture
def recipe(folder: Path) -> ClassPromptRecipe:
    """Nine frames and their two versions, four epochs of seven steps."""
    return settings_from(
        ClassPromptRecipe,
        {
            "kind": "class-prompts",
            "model": "tiny-random",
            "weights": "",
            "seed": 3,
            "epochs": 4,
            "batch": 4,
            "learning_rate": 1e-3,
            "data": {
                "sources": ["vocalfolds/train"],
                "names": list(NAMES),
                "versions": 2,
                "precision": "float32",
                "folder": str(folder),
            },
            "head": {"hidden": 16},
        },
    )


def trainer_of(recipe: ClassPromptRecipe, made: Path, out: Path) -> ClassPromptTrainer:
    torch.set_num_threads(1)
    network = frozen_network(recipe)
    return ClassPromptTrainer(recipe, network, open_pictures(recipe, network, made, quiet=True), out, quiet=True)


def test_dice_has_squares_below_and_a_thousandth_beside_each() -> None:
    truth = Truth(torch.tensor([[[1.0, 0.0]]]), torch.ones(1, 1, 2))
    logits = torch.tensor([[[0.0, 0.0]]])  # probabilities of a half: 2 * 0.5 / (0.25 + 0.25 + 0.001 + 1 + 0.001)
    assert float(squared_dice(logits, truth)) == pytest.approx(1 - 1 / 1.502)
    unknown = Truth(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[1.0, 0.0]]]))
    assert float(squared_dice(logits, unknown)) == pytest.approx(1 - 1 / (0.25 + 1 + 0.002))


def test_the_papers_losses_are_of_what_shows_and_further_ones_are_added() -> None:
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[0] = True  # the second row asks for what is absent
    asked = Asked(masks, torch.ones_like(masks))
    answers = ClassAnswers(torch.full((2, 1, 1), 3.0), torch.tensor([0.25, 0.9]), torch.tensor([0.0, 0.0]))
    p = 1 / (1 + np.exp(-3))
    dice = 1 - 2 * p / (p * p + 1 + 0.002)
    plain = answer_losses(answers, asked, ClassLosses())
    assert set(plain) == {"dice", "reached"}
    assert float(plain["dice"]) == pytest.approx(dice, rel=1e-4)
    assert float(plain["reached"]) == 1
    more = answer_losses(answers, asked, ClassLosses(pixel=2.0, quality=1.0, presence=1.0))
    assert float(more["pixel"]) == pytest.approx(2 * (-np.log(p) - np.log(1 - p)) / 2, rel=1e-5)
    assert float(more["quality"]) == pytest.approx(0.75)
    assert float(more["presence"]) == pytest.approx(np.log(2), rel=1e-5)


def test_everything_but_head_and_decoder_keeps_its_bytes(recipe: ClassPromptRecipe, tmp_path: Path) -> None:
    trainer = trainer_of(replace(recipe, epochs=2), tmp_path / "made", tmp_path / "out")
    network = {name: one.clone() for name, one in trainer.network.state_dict().items()}
    buffers = {name: one.clone() for name, one in trainer.model.named_buffers()}
    before = {name: one.clone() for name, one in trainer.model.state_dict().items()}
    trainer.run()
    assert trainer.done
    assert all(torch.equal(one, network[name]) for name, one in trainer.network.state_dict().items())
    assert all(torch.equal(one, buffers[name]) for name, one in trainer.model.named_buffers())
    after = trainer.model.state_dict()
    assert torch.equal(after["decoder.stride4_conv.weight"], before["decoder.stride4_conv.weight"])
    for name in ("head.prototypes", "head.sparse1.weight", "head.dense2.bias", "decoder.mask_tokens"):
        assert not torch.equal(after[name], before[name]), name


def test_a_stopped_run_goes_on_to_the_same_weights(recipe: ClassPromptRecipe, tmp_path: Path) -> None:
    more = {
        "absent": 0.5,
        "losses": {"pixel": 1.0},
        "selection": {"by": "inner", "cases": ["patient2/seq8"], "every": 2},
    }
    recipe = settings_from(ClassPromptRecipe, {**_plain(recipe), **more})
    whole = trainer_of(recipe, tmp_path / "made", tmp_path / "whole")
    whole.run()
    first = trainer_of(recipe, tmp_path / "made", tmp_path / "parts")
    learn = first.learn

    def counted(batch: list[Sample]) -> dict[str, float]:
        first.stopping = first.step == 7
        return learn(batch)

    first.learn = counted  # type: ignore[method-assign]
    first.run()
    assert first.step == 8
    second = trainer_of(recipe, tmp_path / "made", tmp_path / "parts")
    second.resume()
    second.run()
    assert second.step == whole.step == whole.steps
    assert second.best == whole.best is not None
    for name, one in whole.model.state_dict().items():
        assert torch.equal(one, second.model.state_dict()[name]), name


def _plain(recipe: ClassPromptRecipe) -> dict[str, object]:
    import tomllib

    return tomllib.loads(to_toml(recipe))


def test_online_and_cached_features_teach_the_same(recipe: ClassPromptRecipe, tmp_path: Path) -> None:
    """Up to what Adam makes of rounding: images are encoded alone or together, and tiny gradients take whole steps."""
    recipe = replace(recipe, epochs=2)
    cached = trainer_of(recipe, tmp_path / "made", tmp_path / "cached")
    start = torch.nn.utils.parameters_to_vector(cached.parameters).detach().clone()
    cached.run()
    online = trainer_of(
        replace(recipe, data=replace(recipe.data, features="online")), tmp_path / "other", tmp_path / "online"
    )
    online.run()
    assert not (tmp_path / "other" / "features").exists()
    one, other = (torch.nn.utils.parameters_to_vector(trainer.parameters).detach() for trainer in (cached, online))
    assert float((one - other).norm()) < 0.05 * float((one - start).norm())


def test_it_learns_what_colour_a_class_has(recipe: ClassPromptRecipe, tmp_path: Path) -> None:
    recipe = replace(recipe, epochs=15, learning_rate=3e-3, data=replace(recipe.data, versions=0))
    trainer = trainer_of(recipe, tmp_path / "made", tmp_path / "out")
    before = class_scores(trainer.model, trainer.corpus.learned)
    trainer.run()
    after = class_scores(trainer.model, trainer.corpus.learned)
    assert after["Challenge IoU"] > before["Challenge IoU"] + 0.2
    assert set(NAMES) <= set(after)


def test_fixed_prototypes_are_the_means_and_stay(recipe: ClassPromptRecipe, tmp_path: Path) -> None:
    recipe = replace(recipe, epochs=1, head=HeadSettings(hidden=16, prototypes="mean", contrast="none"))
    trainer = trainer_of(recipe, tmp_path / "made", tmp_path / "out")
    pictures = trainer.corpus.learned
    own = [sample for sample in pictures.samples() if sample.class_number == 2]
    places = [sample.picture for sample in own]
    vectors = class_embeddings(pictures.features(places).stride16, pictures.labels(places) == 3)
    prototypes = trainer.model.head.prototypes.clone()
    assert torch.allclose(prototypes[2], vectors.mean(0), atol=1e-5)
    trainer.run()
    assert torch.equal(trainer.model.head.prototypes, prototypes)
    stand_in = replace(recipe, head=replace(recipe.head, prototypes="stand-in"))
    vectors = trainer_of(stand_in, tmp_path / "made", tmp_path / "other").model.head.prototypes
    assert torch.allclose(vectors @ vectors.T, torch.eye(3) * 64, atol=1e-3)


def test_samples_are_classes_that_show_and_absent_ones_are_known_to(recipe: ClassPromptRecipe, tmp_path: Path) -> None:
    names = (*NAMES, "intubation", "robot")
    data = replace(recipe.data, names=names, versions=0)
    network = frozen_network(recipe)
    with pytest.raises(ValueError, match=r"data\.names: there is no class 'robot'"):
        open_pictures(replace(recipe, data=data), network, tmp_path, quiet=True)
    data = replace(data, names=(*NAMES, "intubation", "pathology"))
    with pytest.raises(ValueError, match="no training sample shows the class 'intubation', 'pathology'"):
        open_pictures(replace(recipe, data=data), network, tmp_path, quiet=True)
    data = replace(data, names=NAMES, general=("surgical tols",))
    with pytest.raises(ValueError, match=r"data\.general: .*did you mean 'surgical tool'"):
        open_pictures(replace(recipe, data=data), network, tmp_path, quiet=True)
    pictures = open_pictures(recipe, network, tmp_path, quiet=True).learned
    assert len(pictures.samples()) == 9 * 3
    assert {sample.class_number for sample in pictures.samples(2)} == {0, 1, 2}
    labelled = replace(pictures.shots, names=names, labelled={"vocalfolds/train": frozenset({0, 1, 2, 3})})
    pictures.shots = labelled
    assert pictures.absent(0, frozenset()) == [3, 4]
    assert pictures.absent(0, frozenset({4})) == [3]


def test_pictures_are_prepared_once_and_go_on_after_a_kill(recipe: ClassPromptRecipe, tmp_path: Path) -> None:
    network = frozen_network(recipe)
    pictures = open_pictures(recipe, network, tmp_path, quiet=True).learned
    assert len(pictures.pictures) == 27
    few = open_pictures(replace(recipe, epochs=2), network, tmp_path / "few", quiet=True).learned
    assert {one.version for one in few.pictures} == {0, 1}  # two epochs never show the second version
    (table,) = (tmp_path / "class-prompts").glob("*/images.jsonl")
    labels = table.with_name("labels.bin")
    whole, records = pictures.samples(1), labels.read_bytes()
    text = table.read_text()
    table.write_text(text[: len(text) // 2])  # in the middle of a line
    labels.write_bytes(records + b"half a map")
    again = open_pictures(recipe, network, tmp_path, quiet=True).learned
    assert again.samples(1) == whole
    assert labels.read_bytes() == records
    assert table.read_text() == text
    torch.manual_seed(8)
    other = frozen_network(replace(recipe, seed=8))
    cache = str(pictures.cache.folder) if pictures.cache else ""
    with pytest.raises(CacheMismatch):
        open_pictures(replace(recipe, data=replace(recipe.data, cache=cache)), other, tmp_path, quiet=True)


def test_scores_are_those_of_the_painted_maps(
    recipe: ClassPromptRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that says every class is in the left half: of two that overlap the one of the higher quality is seen."""
    trainer = trainer_of(recipe, tmp_path / "made", tmp_path / "out")
    pictures = trainer.corpus.learned

    def answer(network: object, features: object, classes: torch.Tensor, frame: torch.Tensor) -> ClassAnswers:
        logits = torch.full((len(classes), 16, 16), -1.0)
        logits[:, :, :8] = 1
        return ClassAnswers(logits, classes.float(), torch.zeros(len(classes)))

    monkeypatch.setattr(trainer.model, "answer", answer)
    found = class_scores(trainer.model, pictures)
    places = sorted({sample.picture for sample in pictures.samples()})
    truth = pictures.labels(places).numpy()
    left = np.zeros((64, 64), np.uint8)
    left[:, :32] = 3  # the class of the highest quality covers the others
    counts = endovis.count([np.where(one == 255, 0, left).astype(np.uint8) for one in truth], truth, 3)
    assert found["Challenge IoU"] == pytest.approx(endovis.challenge_iou(counts).value)
    assert found["mcIoU"] == pytest.approx(endovis.mean_class_iou(counts).value)


def test_a_run_writes_a_class_model_that_opens(recipe: ClassPromptRecipe, tmp_path: Path) -> None:
    run = ClassRun(replace(recipe, epochs=1), tmp_path / "made", tmp_path / "out", quiet=True, threads=1)
    path = train_classes(run)
    assert path == tmp_path / "out" / WEIGHTS
    model = open_class_model(path, frozen_network(recipe))
    assert model.config.names == NAMES
    assert read_settings(ClassPromptRecipe, tmp_path / "out" / "recipe.toml") == run.recipe
    with pytest.raises(ValueError, match="not a checkpoint of this recipe"):
        train_classes(replace(run, resume=True, recipe=replace(run.recipe, head=HeadSettings(tokens=3))))


def test_presence_is_calibrated_on_the_inner_split(recipe: ClassPromptRecipe, tmp_path: Path, folder: Path) -> None:
    """Where a class is missing on some of its frames; the training frames show all classes, and nothing can be told."""
    shutil.copytree(folder, tmp_path / "sets")
    labels = next((tmp_path / "sets" / "vocalfolds" / "labels" / "patient2" / "seq6").glob("*.png"))
    pixels = np.asarray(Image.open(labels)).copy()
    pixels[pixels == 5] = 2
    Image.fromarray(pixels).save(labels)
    selection = Selection("inner", ("vocalfolds/tune",), every=1)
    recipe = replace(recipe, epochs=1, selection=selection, data=replace(recipe.data, folder=str(tmp_path / "sets")))
    path = train_classes(ClassRun(recipe, tmp_path / "made", tmp_path / "out", quiet=True, threads=1))
    assert path == tmp_path / "out" / BEST
    assert len(read_class_config(path).presence) == len(NAMES)
    assert "inner_split" in read_head(path)
    without = replace(recipe, selection=Selection("inner", (), ("patient2/seq8",), every=1))
    path = train_classes(ClassRun(without, tmp_path / "made", tmp_path / "other", quiet=True, threads=1))
    assert read_class_config(path).presence == ()


def test_a_corpus_without_pictures_to_choose_by_is_refused(recipe: ClassPromptRecipe, tmp_path: Path) -> None:
    selection = {"by": "inner", "cases": ["patient2/seq99"]}
    wrong = settings_from(ClassPromptRecipe, {**_plain(recipe), "selection": selection})
    with pytest.raises(ValueError, match="has a case 'patient2/seq99'"):
        open_pictures(wrong, frozen_network(recipe), tmp_path, quiet=True)
    with pytest.raises(ValueError, match="did you mean vocalfolds"):
        open_pictures(
            replace(recipe, data=replace(recipe.data, sources=("vocalfold/train",))), frozen_network(recipe), tmp_path
        )


@pytest.mark.parametrize(
    "name", ["surgicalsam-endovis17", "surgicalsam-endovis18", "surgicalsam-scenes", "nano-classes"]
)
def test_shipped_recipes_are_read_and_come_back(name: str, tmp_path: Path) -> None:
    found = read_settings(ClassPromptRecipe, RECIPES / f"{name}.toml")
    (tmp_path / "again.toml").write_text(to_toml(found))
    assert read_settings(ClassPromptRecipe, tmp_path / "again.toml") == found


def test_the_endovis_recipes_have_the_cards_values() -> None:
    first = read_settings(ClassPromptRecipe, RECIPES / "surgicalsam-endovis17.toml")
    second = read_settings(ClassPromptRecipe, RECIPES / "surgicalsam-endovis18.toml")
    assert (first.learning_rate, first.epochs, first.head.tokens) == (1e-4, 2000, 4)
    assert (second.learning_rate, second.epochs, second.head.tokens) == (1e-3, 500, 2)
    for recipe in (first, second):
        assert (recipe.batch, recipe.weight_decay, recipe.seed, recipe.final_share) == (32, 1e-4, 666, 1.0)
        assert (recipe.head.hidden, recipe.head.temperature, recipe.data.versions) == (128, 0.07, 40)


@pytest.mark.parametrize(
    ("name", "module"), [("surgicalsam-endovis17", endovis17), ("surgicalsam-endovis18", endovis18_instruments)]
)
def test_the_endovis_recipes_list_their_frames(name: str, module: ModuleType, tmp_path: Path) -> None:
    recipe = read_settings(ClassPromptRecipe, RECIPES / f"{name}.toml")
    module.write_fixture(tmp_path / module.DATASET.name)
    data = replace(recipe.data, folder=str(tmp_path))
    found = list_shots(data, data.sources, 1, 0, data.names)
    assert found.names == tuple(module.CLASSES.values())
    assert {shot.source for shot in found.shots} == set(data.sources)
    (split,) = (source.partition("/")[2] for source in data.sources)
    assert {shot.case for shot in found.shots} == set(module.SPLITS[split].names)
    assert set(np.unique(found.shots[0].read()[1]).tolist()) <= set(range(8))


def test_choosing_on_what_is_reported_is_refused() -> None:
    for source in ("endovis17/fold2", "endovis18-instruments/val", "vocalfolds/held_out"):
        with pytest.raises(ValueError, match="results are reported on"):
            settings_from(ClassPromptRecipe, {"selection": {"by": "inner", "sources": [source]}})
    with pytest.raises(ValueError, match="did you mean tokens"):
        settings_from(ClassPromptRecipe, {"head": {"token": 3}})
    with pytest.raises(ValueError, match=r'set head\.contrast = "none"'):
        settings_from(ClassPromptRecipe, {"head": {"prototypes": "mean"}})
    with pytest.raises(ValueError, match=r"set losses\.pixel"):
        settings_from(ClassPromptRecipe, {"absent": 0.5})


def test_pictures_and_corpus_are_what_scripts_build_on(recipe: ClassPromptRecipe, tmp_path: Path) -> None:
    """Two seeds share one preparation, and differ."""
    network = frozen_network(recipe)
    corpus = open_pictures(recipe, network, tmp_path, quiet=True)
    assert isinstance(corpus, Corpus)
    assert isinstance(corpus.learned, ClassPictures)
    one, other = (
        ClassPromptTrainer(replace(recipe, seed=seed), network, corpus, tmp_path / str(seed), quiet=True)
        for seed in (1, 2)
    )
    assert not torch.equal(one.model.head.prototypes, other.model.head.prototypes)
    assert [sample.picture for sample in one.prepare(0)] != [sample.picture for sample in other.prepare(0)]
