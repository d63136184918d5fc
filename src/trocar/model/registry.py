"""Which networks there are, where their weights come from, and how to find them on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from trocar.model import config as configs
from trocar.model.checkpoint import load_weights, open_network, read_head
from trocar.model.config import NetworkConfig
from trocar.model.network import Network
from trocar.model.sam1 import make_network

WEIGHTS_FOLDER = "TROCAR_WEIGHTS"  # environment variable: a folder with weights files
ASSETS = Path(__file__).resolve().parent.parent / "assets"


@dataclass(frozen=True)
class ModelInfo:
    """One line of the table of models.

    Args:
        name: what people type.
        config: the network's sizes.
        licence: of the weights, as an SPDX identifier.
        parameters: how many, in millions.
        megabytes: size of the weights file.
        repository: where the file is published on Hugging Face; None for weights inside the package.
        files: names under which the file is looked for, the published one first; that of a repository whose files have
            names of no meaning stands in a folder of the repository's name.
    """

    name: str
    config: NetworkConfig
    licence: str
    parameters: float
    megabytes: int
    repository: str | None
    files: tuple[str, ...]

    @property
    def source(self) -> str:
        """Where the weights come from, in words."""
        if self.repository is None:
            return "inside the package"
        return f"Hugging Face {self.repository}, file {self.published}"

    @property
    def published(self) -> str:
        """What the file is called in its repository."""
        return self.files[0].rpartition("/")[2]

    def is_published_as(self, path: Path) -> bool:
        """Whether a file bears a name under which these weights are looked for."""
        return self.repository is not None and any(path.match(file) for file in self.files)


def _published(config: NetworkConfig, parameters: float, megabytes: int) -> ModelInfo:
    """A network of Meta's release, whose repository and file names follow one pattern."""
    version, _, size = config.name.partition("-")
    file = f"{version}_hiera_{size.replace('-', '_')}.pt"
    files = (file, f"{config.name}.safetensors", f"{config.name}.pt")
    repository = f"facebook/{version}-hiera-{size}"
    return ModelInfo(config.name, config, "Apache-2.0", parameters, megabytes, repository, files)


def _sam(
    config: NetworkConfig, parameters: float, megabytes: int, repository: str, files: tuple[str, str]
) -> ModelInfo:
    """A network of the SAM family; `files` are Hugging Face's conversion, in its repository, and the release's own."""
    converted, release = files
    conversion = f"{repository.rpartition('/')[2]}/{converted}"
    names = (conversion, release, f"{config.name}.safetensors", f"{config.name}.pth")
    return ModelInfo(config.name, config, "Apache-2.0", parameters, megabytes, repository, names)


MODELS: dict[str, ModelInfo] = {
    info.name: info
    for info in (
        ModelInfo("nano", configs.NANO, "Apache-2.0", 7.8, 16, None, ("nano.safetensors",)),
        _published(configs.SAM21_TINY, 39.0, 156),
        _published(configs.SAM21_SMALL, 46.1, 184),
        _published(configs.SAM21_BASE_PLUS, 80.9, 324),
        _published(configs.SAM21_LARGE, 224.5, 898),
        _published(configs.SAM20_TINY, 38.9, 156),
        _published(configs.SAM20_SMALL, 46.0, 184),
        _published(configs.SAM20_BASE_PLUS, 80.8, 323),
        _published(configs.SAM20_LARGE, 224.4, 898),
        _sam(configs.SAM_VIT_B, 93.7, 375, "facebook/sam-vit-base", ("model.safetensors", "sam_vit_b_01ec64.pth")),
        _sam(configs.SAM_VIT_L, 312.3, 1249, "facebook/sam-vit-large", ("model.safetensors", "sam_vit_l_0b3195.pth")),
        _sam(configs.SAM_VIT_H, 641.1, 2564, "facebook/sam-vit-huge", ("model.safetensors", "sam_vit_h_4b8939.pth")),
        _sam(configs.MEDSAM, 93.7, 375, "wanglab/medsam-vit-base", ("pytorch_model.bin", "medsam_vit_b.pth")),
    )
}


def model_info(name: str) -> ModelInfo:
    """The table's line for a name; ValueError with the nearest names if there is none."""
    if name in MODELS:
        return MODELS[name]
    near = get_close_matches(name, MODELS, n=2, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(MODELS)}"
    raise ValueError(f"there is no model named {name!r}: {hint}")


def find_weights(name: str, download: bool = False) -> Path:
    """The weights file of a named model: in the package, in the folder TROCAR_WEIGHTS names, or from Hugging Face.

    Args:
        name: a key of MODELS.
        download: whether Hugging Face may be asked, if `huggingface_hub` is installed; it keeps its own cache.

    Raises:
        FileNotFoundError: the file is nowhere; the message says how to get it.
    """
    info = model_info(name)
    folder = os.environ.get(WEIGHTS_FOLDER)
    for place in (ASSETS, *([Path(folder)] if folder else [])):
        for file in info.files:
            if (place / file).is_file():
                return place / file
    if info.repository is None:
        raise FileNotFoundError(
            f"the weights of {name!r} are not in this installation ({ASSETS / info.files[0]}): "
            f"reinstall trocar, or put {info.files[0]} in a folder and name it in {WEIGHTS_FOLDER}"
        )
    if download and find_spec("huggingface_hub") is not None:
        return _download(info)
    raise FileNotFoundError(_how_to_get(info, "are not on this machine"))


def load_network(name: str, path: Path | None = None, download: bool = False) -> Network:
    """A named network with its weights, in evaluation mode.

    Args:
        name: a key of MODELS.
        path: a weights file to use instead of looking for one; one that `save_weights` wrote also brings its own sizes.
        download: see `find_weights`.
    """
    info = model_info(name)
    file = path or find_weights(name, download)
    if file.suffix == ".safetensors" and "config" in read_head(file):
        return open_network(file)
    network = make_network(info.config)
    load_weights(network, file)
    return network.eval()


def _download(info: ModelInfo) -> Path:
    """Hugging Face's cached copy, fetched if need be."""
    hub = import_module("huggingface_hub")
    try:
        return Path(hub.hf_hub_download(repo_id=info.repository, filename=info.published))
    except (OSError, ValueError) as error:  # the hub's own errors derive from these
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise FileNotFoundError(_how_to_get(info, f"could not be fetched ({reason})")) from error


def _how_to_get(info: ModelInfo, what: str) -> str:
    name = "" if info.published == info.files[0] else f" as {info.files[0]}"
    return (
        f"the weights of {info.name!r} ({info.megabytes} MB) {what}: get {info.published} from {info.repository} on "
        f"Hugging Face, put it in a folder{name} and name that folder in {WEIGHTS_FOLDER}"
    )
