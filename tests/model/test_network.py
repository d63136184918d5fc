"""The network's promises: shapes at any size, gradients everywhere, independent rows, half precision, clear errors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from trocar.model import (
    NANO,
    ImageFeatures,
    MemoryTokens,
    Network,
    ProjectedMemory,
    PromptTensors,
    no_prompt,
    tiny_random,
)
from trocar.model.mask_decoder import stability
from trocar.model.prompt_encoder import PromptDrawing
from trocar.model.tensors import row_of


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(replace(tiny_random(), num_long_term_slots=2, dense_prompts=True)).eval()


def projected(network: Network, maps: Tensor) -> list[list[ProjectedMemory]]:
    """(R, N, C, h, w) spatial memories, one by one."""
    return [[network.project_memory(one) for one in row] for row in maps]


def memory_of(network: Network, rows: int, side: int, spatial: int = 3, pointers: int = 2) -> MemoryTokens:
    """Random memory: slots count down from the prompted frames' one."""
    config = network.config
    return MemoryTokens(
        spatial=projected(network, torch.randn(rows, spatial, config.memory_dim, side, side)),
        slot=(6 - torch.arange(spatial)).expand(rows, -1),
        key_gain=torch.ones(rows, spatial),
        pointers=torch.randn(rows, pointers, config.hidden_dim),
        pointer_distance=torch.rand(rows, pointers),
        pointer_gain=torch.ones(rows, pointers),
    )


@pytest.mark.parametrize("side", [64, 96, 160, 256])
def test_shapes_at_any_side_that_the_stride_allows(network: Network, side: int) -> None:
    dim, cells = network.config.hidden_dim, side // 16
    frames = network.encode_image(torch.randn(2, 3, side, side))
    assert frames.stride4.shape == (2, dim // 8, side // 4, side // 4)
    assert frames.stride8.shape == (2, dim // 4, side // 8, side // 8)
    assert frames.stride16.shape == (2, dim, cells, cells)
    rows = frames.rows(torch.tensor([1, 0, 1]))
    fused = network.attend(rows.stride16, memory_of(network, 3, cells))
    assert fused.shape == rows.stride16.shape
    for multimask, count in ((True, 3), (False, 1)):
        out = network.decode(fused, rows.stride4, rows.stride8, no_prompt(3), multimask)
        assert out.masks.shape == (3, count, side // 4, side // 4)
        assert out.iou.shape == (3, count)
        assert out.object_score.shape == (3,)
        assert out.pointers.shape == (3, count, dim)
    memory = network.encode_memory(rows.stride16, torch.rand(3, 1, side, side), torch.ones(3, dtype=torch.bool))
    assert memory.shape == (3, network.config.memory_dim, cells, cells)


def whole_pass(network: Network, side: int = 64) -> Tensor:
    """A number that every parameter has a part in: prompts of each kind, memory of each kind, an absent row."""
    config, cells = network.config, side // 16
    rows = network.encode_image(torch.randn(1, 3, side, side)).rows(torch.tensor([0, 0]))
    first = network.attend(rows.stride16, None)
    labels = torch.tensor([[1, 0, 2, 3, -1]]).expand(2, -1)
    clicks = PromptTensors(torch.rand(2, 5, 2) * side, labels)
    start = network.decode(first, rows.stride4, rows.stride8, clicks, multimask=True)
    present = torch.tensor([True, False])
    entry = network.encode_memory(rows.stride16, torch.rand(2, 1, side, side), present)
    pointer = torch.where(present[:, None], start.pointers[:, 0], network.absent_pointer)
    slots = torch.arange(-1, config.num_slots + config.num_long_term_slots)
    memory = memory_of(network, 2, cells, len(slots), 1)
    maps = [[network.project_memory(one)] * len(slots) for one in entry]
    memory = replace(memory, spatial=maps, slot=slots.expand(2, -1), pointers=pointer[:, None])
    fused = network.attend(rows.stride16, memory)
    dense = network.downsample_mask((torch.rand(2, 1, side, side) > 0.5).float())
    again = network.decode(fused, rows.stride4, rows.stride8, replace(no_prompt(2), mask_logits=dense), multimask=False)
    outputs = [value for decoded in (start, again) for value in vars(decoded).values() if value is not None]
    return torch.stack([value.float().sum() for value in outputs]).sum()


def test_gradients_reach_every_parameter(network: Network) -> None:
    network.zero_grad()
    whole_pass(network).backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not bool((p.grad != 0).any())]
    # a constant added to all keys of an attention moves no softmax
    assert [name for name in without if not name.endswith("k_proj.bias")] == []


@pytest.mark.parametrize("apart", [False, True])
def test_a_row_does_not_depend_on_its_neighbours(
    network: Network, apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trocar.model.rows.LARGE", 0)  # a CPU then takes rows apart, where no gradients are wanted
    frames = network.encode_image(torch.randn(2, 3, 64, 64))
    index = torch.tensor([0, 1, 0, 1])
    rows, memory = frames.rows(index), memory_of(network, 4, 4)
    prompts = PromptTensors(torch.rand(4, 2, 2) * 64, torch.tensor([[1, 0], [2, 3], [1, 1], [0, -1]]))
    masks, present = torch.rand(4, 1, 64, 64), torch.tensor([True, False, True, True])

    @torch.set_grad_enabled(not apart)
    def run(rows: ImageFeatures, memory: MemoryTokens, which: slice) -> list[Tensor]:
        fused = network.attend(rows.stride16, memory)
        chosen = PromptTensors(prompts.points[which], prompts.labels[which])
        out = network.decode(fused, rows.stride4, rows.stride8, chosen, False, stability_fallback=True)
        entry = network.encode_memory(rows.stride16, masks[which], present[which])
        return [fused, out.masks, out.iou, out.object_score, out.pointers, entry]

    together = run(rows, memory, slice(0, 4))
    for r in range(4):
        alone = run(frames.rows(index[r : r + 1]), row_of(memory, r), slice(r, r + 1))
        for one, all_rows in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], all_rows[r], rtol=1e-4, atol=1e-5)


def test_bfloat16_runs_and_stays_near_float32(network: Network) -> None:
    torch.manual_seed(1)
    images = torch.randn(1, 3, 64, 64)

    def run(net: Network, dtype: torch.dtype) -> Tensor:
        torch.manual_seed(2)
        memory = memory_of(net, 1, 4)
        frame = net.encode_image(images.to(dtype))
        fused = net.attend(frame.stride16, memory)
        out = net.decode(fused, frame.stride4, frame.stride8, no_prompt(1), multimask=True)
        entry = net.encode_memory(frame.stride16, torch.ones(1, 1, 64, 64), torch.tensor([True]))
        assert {fused.dtype, out.masks.dtype, out.pointers.dtype, entry.dtype} == {dtype}
        return out.masks.float()

    half = Network(network.config).eval()
    half.load_state_dict(network.state_dict())
    exact = run(network, torch.float32)
    difference = (run(half.bfloat16(), torch.bfloat16) - exact).abs().mean() / exact.abs().mean()
    assert difference < 0.1  # bfloat16 keeps 8 bits of a number, through some forty layers
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.isfinite(whole_pass(network))


def test_places_keep_float32_under_autocast(network: Network) -> None:
    places = torch.rand(50, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = network.prompt_encoder.positions(places)
    assert torch.equal(rounded, network.prompt_encoder.positions(places))


def test_nothing_to_attend_to_is_the_same_as_no_memory(network: Network) -> None:
    stride16 = torch.randn(2, network.config.hidden_dim, 4, 4)
    empty = memory_of(network, 2, 4, spatial=0, pointers=0)
    assert torch.equal(network.attend(stride16, empty), network.attend(stride16, None))
    only_pointers = network.attend(stride16, memory_of(network, 2, 4, spatial=0))
    assert only_pointers.shape == stride16.shape


def test_memories_are_a_set_in_which_an_exact_copy_changes_nothing(network: Network) -> None:
    """Order carries no meaning, and doubling all of what is attended to leaves a softmax average where it was."""
    stride16 = torch.randn(1, network.config.hidden_dim, 4, 4)
    memory = memory_of(network, 1, 4, pointers=0)
    expected = network.attend(stride16, memory)
    for order in ([2, 0, 1], [0, 1, 2, 0, 1, 2]):
        gains = torch.ones(1, len(order))
        maps = [[memory.spatial[0][at] for at in order]]
        other = replace(memory, spatial=maps, slot=memory.slot[:, order], key_gain=gains)
        torch.testing.assert_close(network.attend(stride16, other), expected, rtol=1e-4, atol=1e-5)


def test_zero_key_gain_makes_slots_irrelevant(network: Network) -> None:
    """With a gain of 0 a key holds neither memory nor position: its slot cannot matter."""
    stride16 = torch.randn(1, network.config.hidden_dim, 4, 4)
    memory = memory_of(network, 1, 4)
    assert not torch.allclose(
        network.attend(stride16, memory), network.attend(stride16, replace(memory, slot=memory.slot * 0 - 1)), atol=1e-5
    )
    silent = replace(memory, key_gain=memory.key_gain * 0)
    torch.testing.assert_close(
        network.attend(stride16, silent), network.attend(stride16, replace(silent, slot=memory.slot * 0 - 1))
    )


def test_absence_changes_the_memory_by_one_vector(network: Network) -> None:
    stride16, mask = torch.randn(1, network.config.hidden_dim, 4, 4), torch.rand(1, 1, 64, 64)
    difference = network.encode_memory(stride16, mask, torch.tensor([False])) - network.encode_memory(
        stride16, mask, torch.tensor([True])
    )
    absent = network.memory_encoder.absent
    assert absent is not None
    torch.testing.assert_close(difference, absent[None, :, None, None].expand_as(difference), rtol=1e-4, atol=1e-5)


def test_stability_by_hand() -> None:
    """4 cells above +0.05, 1 between: 4 / 5. Nothing above -0.05: 1."""
    mask = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0, -1.0]).reshape(1, 1, 2, 3)
    assert stability(mask).item() == pytest.approx(0.8)
    assert stability(torch.full((1, 1, 2, 3), -1.0)).item() == 1.0


def test_training_after_inference_mode_in_one_process() -> None:
    """Cached position tables made in inference mode would break the backward pass."""
    config = tiny_random()
    network = Network(config)
    with torch.inference_mode():
        network.attend(torch.randn(1, config.hidden_dim, 7, 7), memory_of(network, 1, 7))
    network.attend(torch.randn(1, config.hidden_dim, 7, 7), memory_of(network, 1, 7)).sum().backward()


@pytest.mark.parametrize("shape", [(1, 3, 64, 96), (1, 3, 72, 72)])
def test_wrong_image_sides_are_named(network: Network, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        network.encode_image(torch.zeros(shape))


def test_wrong_mask_prompt_size_is_named(network: Network) -> None:
    frame = network.encode_image(torch.zeros(1, 3, 64, 64))
    prompts = replace(no_prompt(1), mask_logits=torch.zeros(1, 1, 64, 64))
    with pytest.raises(ValueError, match="16 x 16"):
        network.decode(frame.stride16, frame.stride4, frame.stride8, prompts, multimask=True)


def test_sizes_of_the_small_networks() -> None:
    """`nano` fits its 20 MB as float16; the tests' network is below a million parameters."""
    assert 5e6 < sum(p.numel() for p in Network(NANO).parameters()) < 8e6
    assert sum(p.numel() for p in Network(tiny_random()).parameters()) < 1e6


def test_a_fresh_nano_starts_where_losses_have_a_slope() -> None:
    """Mask logits and object scores of an untrained network are small, not saturated."""
    torch.manual_seed(0)
    nano = Network(NANO).eval()
    with torch.no_grad():
        frame = nano.encode_image(torch.randn(1, 3, 128, 128))
        out = nano.decode(nano.attend(frame.stride16, None), frame.stride4, frame.stride8, no_prompt(1), True)
    assert out.masks.std() < 2
    assert out.object_score.abs().max() < 4


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="memory_dim 48"):
        replace(NANO, memory_dim=48)
    with pytest.raises(ValueError, match="image_size 250"):
        replace(NANO, image_size=250)


def test_a_drawn_prompt_fills_its_box_and_spots_its_clicks() -> None:
    drawing = PromptDrawing(8)
    points = torch.tensor([[[15.5, 31.5], [47.5, 63.5]], [[19.5, 11.5], [51.5, 35.5]]])
    box, clicks = drawing.draw(PromptTensors(points, torch.tensor([[2, 3], [1, 0]])), 64)
    assert box[:2].abs().max() == 0
    inside = box[2] > 0.5
    assert inside[8:16, 4:12].all()  # cells of 4 px: rows 32..63, columns 16..47
    assert inside.sum() == 8 * 8
    assert clicks[2].max() == 0
    assert divmod(int(clicks[0].argmax()), 16) == (2, 4)  # (19.5, 11.5) + 0.5 lies where cells 4 and 5, 2 and 3 meet
    assert divmod(int(clicks[1].argmax()), 16) == (8, 12)


def test_nothing_is_drawn_where_nothing_is_prompted() -> None:
    assert PromptDrawing(8).draw(no_prompt(3), 64).abs().max() == 0
