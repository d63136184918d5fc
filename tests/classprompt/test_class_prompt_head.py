"""The class prompt encoder, equation by equation on numbers that can be checked by hand, and with real sizes."""

from __future__ import annotations

import math

import pytest
import torch

from trocar.classprompt import ClassPromptConfig, ClassPromptHead
from trocar.classprompt.contrast import class_embeddings, contrast_loss, nt_xent, paper_contrast
from trocar.model import NetworkConfig, PromptEmbeddings, PromptTensors, tiny_random
from trocar.model.config import tiny_sam
from trocar.model.sam1 import make_network
from trocar.model.tensors import embedded_prompt

TWO = ClassPromptConfig(("hook", "grasper"), dim=2, cells=2, side=32, tokens=1, hidden=1)


def set_to(layer: torch.nn.Linear | torch.nn.Conv2d, weight: list[list[float]], bias: list[float]) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight).reshape(layer.weight.shape))
        layer.bias.copy_(torch.tensor(bias))  # type: ignore[union-attr]


@pytest.fixture
def head() -> ClassPromptHead:
    """Two classes with the prototypes (1, 0) and (-1, 2); a map of one row of two places."""
    head = ClassPromptHead(TWO)
    with torch.no_grad():
        head.prototypes.copy_(torch.tensor([[1.0, 0.0], [-1.0, 2.0]]))
        head.positive.copy_(torch.tensor([10.0, 20.0]))
        head.negative.copy_(torch.tensor([-1.0, -2.0]))
    set_to(head.sparse1, [[1.0, 2.0]], [-1.0])
    set_to(head.sparse2, [[3.0]], [0.5])
    set_to(head.dense1, [[1.0, 1.0]], [-10.0])
    set_to(head.dense2, [[1.0], [-1.0]], [0.0, 7.0])
    return head


FEATURES = torch.tensor([[[[1.0, 3.0]], [[2.0, 0.0]]]])  # (1, D = 2, 1, 2): the places (1, 2) and (3, 0)


def test_similarity_is_the_dot_product_of_each_place_and_prototype(head: ClassPromptHead) -> None:
    # hook: (1, 2).(1, 0) = 1 and (3, 0).(1, 0) = 3; grasper: -1 + 4 = 3 and -3.
    assert head.similarity(FEATURES).tolist() == [[[[1.0, 3.0]], [[3.0, -3.0]]]]


def test_activated_features_are_features_times_similarity_plus_features(head: ClassPromptHead) -> None:
    active = head.activated(FEATURES, head.similarity(FEATURES))
    assert active[0, 0].tolist() == [[[2.0, 12.0]], [[4.0, 0.0]]]  # times 1 + 1 and 1 + 3
    assert active[0, 1].tolist() == [[[4.0, -6.0]], [[8.0, 0.0]]]  # times 1 + 3 and 1 - 3


def test_sparse_tokens_run_over_places_and_get_the_signs(head: ClassPromptHead) -> None:
    # hook: channel 0: relu(2 + 24 - 1) = 25 -> 75.5; channel 1: relu(4 - 1) = 3 -> 9.5
    # grasper: channel 0: relu(4 - 12 - 1) = 0 -> 0.5; channel 1: relu(8 - 1) = 7 -> 21.5
    assert head.tokens(FEATURES).tolist() == [[[[75.5, 9.5]], [[0.5, 21.5]]]]
    hook = head.embed(FEATURES, torch.tensor([0])).sparse
    assert hook.tolist() == [[[85.5, 29.5], [-0.5, 19.5]]]
    grasper = head.embed(FEATURES, torch.tensor([1])).sparse
    assert grasper.tolist() == [[[74.5, 7.5], [10.5, 41.5]]]


def test_the_dense_embedding_is_of_the_prompted_class_alone(head: ClassPromptHead) -> None:
    # hook: places (2, 4) and (12, 0): relu(6 - 10) = 0 and relu(12 - 10) = 2 -> (0, 7) and (2, 5)
    dense = head.embed(FEATURES, torch.tensor([0])).dense
    assert dense.tolist() == [[[[0.0, 2.0]], [[7.0, 5.0]]]]


def test_rows_may_share_a_frame(head: ClassPromptHead) -> None:
    frames = torch.cat((FEATURES, 2 * FEATURES))
    classes, frame = torch.tensor([0, 1, 1]), torch.tensor([1, 0, 1])
    together = head.embed(frames, classes, frame)
    apart = head.embed(frames[frame], classes)
    assert torch.equal(together.sparse, apart.sparse)
    assert torch.equal(together.dense, apart.dense)


def test_the_parts_of_table_6_can_be_left_out(head: ClassPromptHead) -> None:
    state = head.state_dict()

    def without(**switch: bool) -> ClassPromptHead:
        other = ClassPromptHead(ClassPromptConfig(("hook", "grasper"), 2, 2, 32, 1, 1, **switch))  # type: ignore[arg-type]
        other.load_state_dict({name: state[name] for name in other.state_dict()})
        return other

    assert without(signs=False).embed(FEATURES, torch.tensor([1])).sparse.tolist() == [[[75.5, 9.5], [0.5, 21.5]]]
    assert without(sparse=False).embed(FEATURES, torch.tensor([1])).sparse.shape == (1, 0, 2)
    plain = without(dense=False)
    plain.no_mask.copy_(torch.tensor([0.25, 0.5]))
    assert plain.embed(FEATURES, torch.tensor([0])).dense.tolist() == [[[[0.25, 0.25]], [[0.5, 0.5]]]]


def test_another_size_of_map_is_refused(head: ClassPromptHead) -> None:
    with pytest.raises(ValueError, match="run the network at 32 px"):
        head.embed(torch.zeros(1, 2, 2, 2), torch.tensor([0]))


def test_class_embeddings_are_means_inside_the_mask() -> None:
    # A mask of 2 x 4 pixels on a map of 1 x 2 places: the first covered whole, the second by a quarter.
    mask = torch.tensor([[[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]]])
    found = class_embeddings(FEATURES, mask)
    assert torch.allclose(found, torch.tensor([[(1 + 0.25 * 3) / 1.25, 2 / 1.25]]))
    assert class_embeddings(FEATURES, torch.zeros(1, 2, 4)).tolist() == [[0.0, 0.0]]


PROTOTYPES = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
EMBEDDINGS = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 0.5]])
CLASSES = torch.tensor([0, 0, 1])


def test_the_papers_contrast_by_hand() -> None:
    """Mean embeddings (2, 0) and (0, 0.5); products of prototype 0: 4 and 0, of prototype 1: 0 and 1.5; tau = 0.5."""
    wanted = -(math.log(math.exp(8) / (math.exp(8) + 1)) + math.log(math.exp(3) / (math.exp(3) + 1))) / 2
    assert float(paper_contrast(PROTOTYPES, EMBEDDINGS, CLASSES, 0.5)) == pytest.approx(wanted, rel=1e-5)


def test_the_releases_contrast_by_hand() -> None:
    """Cosines 1 with the own class and 0 with the other, at tau = 0.5; a and b are of class 0 and c of class 1."""
    first = -math.log(math.exp(2) / (math.exp(2) + 1))  # a or b, held against c
    last = -math.log(math.exp(2) / (math.exp(2) + 2))  # c, held against a and b
    assert float(nt_xent(PROTOTYPES, EMBEDDINGS, CLASSES, 0.5)) == pytest.approx((2 * first + last) / 3, rel=1e-5)


@pytest.mark.parametrize("kind", ["paper", "release", "none"])
def test_one_class_alone_has_no_contrast_and_no_gradient_that_is_not_a_number(kind: str) -> None:
    prototypes = PROTOTYPES.clone().requires_grad_()
    loss = contrast_loss(kind, prototypes, EMBEDDINGS[:2], CLASSES[:2], 0.07)  # type: ignore[arg-type]
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    if loss.requires_grad:
        loss.backward()
        assert prototypes.grad is not None
        assert prototypes.grad.abs().max() < 1e-6


@pytest.mark.parametrize("kind", ["paper", "release"])
def test_contrast_pulls_prototypes_to_their_class(kind: str) -> None:
    torch.manual_seed(0)
    prototypes = torch.randn(2, 2, requires_grad=True)
    optimiser = torch.optim.Adam([prototypes], 0.1)
    for _ in range(100):
        optimiser.zero_grad()
        contrast_loss(kind, prototypes, EMBEDDINGS, CLASSES, 0.07).backward()  # type: ignore[arg-type]
        optimiser.step()
    products = prototypes.detach() @ EMBEDDINGS.T
    assert (products[0, :2] > products[0, 2]).all()
    assert (products[1, 2] > products[1, :2]).all()


def test_unknown_classes_are_told_the_nearest() -> None:
    config = ClassPromptConfig(("large needle driver", "prograsp forceps"), 2, 2, 32)
    assert config.numbers(["Prograsp_Forceps", "large needle-driver"]) == [1, 0]
    with pytest.raises(ValueError, match="did you mean 'large needle driver'"):
        config.numbers(["needle driver"])
    with pytest.raises(ValueError, match="the classes are: large needle driver, prograsp forceps"):
        config.numbers(["xyz"])


@pytest.mark.parametrize("config", [tiny_random(), tiny_sam()], ids=lambda config: config.family)
def test_embedded_prompts_take_the_place_of_drawn_ones(config: NetworkConfig) -> None:
    """Decoding the tokens and the map that clicks become is decoding the clicks."""
    torch.manual_seed(1)
    network = make_network(config).eval()
    side = network.config.image_size
    features = network.encode_image(torch.randn(2, 3, side, side))
    clicks = PromptTensors(torch.rand(2, 3, 2) * side, torch.tensor([[1, 0, 1]]).expand(2, -1))
    encoder, cells = network.prompt_encoder, side // 16
    drawn = PromptEmbeddings(
        encoder.points(clicks, side), encoder.dense(clicks, cells, cells).expand(2, -1, cells, cells)
    )
    fused = network.attend(features.stride16, None)
    one = network.decode(fused, features.stride4, features.stride8, clicks, True)
    other = network.decode(fused, features.stride4, features.stride8, embedded_prompt(drawn), True)
    assert torch.allclose(one.masks, other.masks, atol=1e-5)
    assert torch.allclose(one.iou, other.iou, atol=1e-6)
    small = PromptEmbeddings(drawn.sparse, drawn.dense[..., :1])
    with pytest.raises(ValueError, match="does not fit features"):
        network.decode(fused, features.stride4, features.stride8, embedded_prompt(small), True)
