"""The recipe of a curated corpus: the settings of all its stages."""

from __future__ import annotations

from dataclasses import dataclass, field

from trocar.pretrain.cluster import Hierarchy
from trocar.pretrain.embed import Embedding
from trocar.pretrain.rendered_corpus import RenderedCorpus
from trocar.pretrain.sample import Sampling
from trocar.pretrain.scan import Scan
from trocar.pretrain.transcode import Transcoding


@dataclass(frozen=True)
class Curation:
    """Every stage's settings; a stage reads its own alone.

    Args:
        rendered: the corpus that `trocar curate render` makes, for trials.
        scan: from folders to a manifest.
        transcoding: small copies of the videos.
        embedding: one vector a clip.
        cluster: the hierarchy of clusters.
        sampling: the balanced choice.
    """

    rendered: RenderedCorpus = field(default_factory=RenderedCorpus)
    scan: Scan = field(default_factory=Scan)
    transcoding: Transcoding = field(default_factory=Transcoding)
    embedding: Embedding = field(default_factory=Embedding)
    cluster: Hierarchy = field(default_factory=Hierarchy)
    sampling: Sampling = field(default_factory=Sampling)
