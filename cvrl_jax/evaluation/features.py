"""Features of whole collections by a frozen network, each video exactly once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from cvrl_jax.parallel import hosts
from data_pipelines.errors import UserError
from data_pipelines.pipeline import TIMEOUT_S, evaluation_batches
from data_pipelines.spec import InputSpec
from data_pipelines.video import Source, VideoInfo

# A host batch -> what `Method.embed` says of it, by name, each [B, ...].
Embed = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]

_MAX_TOKENS_BYTES = 32 * 2**30  # kept of one source


@dataclasses.dataclass(frozen=True)
class Network:
    """A frozen network, as evaluations see it.

    Attributes:
      inputs: what its method wants delivered; decides which modalities an evaluation reads.
      embed: its features.
      tokens: (host batch, modality) -> what the last layer of its transformer says of every token,
        [B, V, L, D]; None of a network that is no transformer.
      share: (index, count) of what this process reads of each batch; see `parallel.mesh.share`.
    """

    inputs: InputSpec
    embed: Embed
    tokens: Callable[[dict[str, np.ndarray], str], np.ndarray | None]
    share: tuple[int, int] = (0, 1)


@dataclasses.dataclass(frozen=True)
class Features:
    """What a network says of N videos, in the order of their source.

    Attributes:
      outputs: by name, as the method's `embed` names them, float32: [N, V, D] with one vector per
        view (clip and crop), of names that begin with "text" [N, K, D] with one per sentence,
        "probabilities" [N, C] of a method with a classifier; and float16 [N, V, L, D] such as
        "video_tokens" where a protocol needs every token.
      labels_N: int, -1 = none; or float32 [N, C], the share of each class, where a video may have
        several.
      valid_N: bool, False = could not be read; its row holds nothing of meaning.
      left_out: the videos that could not be read, each with the reason.
      present: bool by modality, which vectors of it mean something: "audio" [N, V], False without a
        sound track; "text" [N, K], False where there is no such sentence. A modality that is not
        named is always there.
    """

    outputs: Mapping[str, np.ndarray]
    labels_N: np.ndarray
    valid_N: np.ndarray
    left_out: tuple[tuple[VideoInfo, str], ...] = ()
    present: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def vectors_NxVxD(self) -> np.ndarray:
        """The video tower's, one per view."""
        return self.outputs["video"]

    @property
    def mean_NxD(self) -> np.ndarray:
        """The mean over views of the video tower's L2-normalised vectors."""
        return self.mean_of("video")

    def mean_of(self, output: str) -> np.ndarray:
        """As `mean_NxD`, of another of `outputs` [N, V, D]."""
        norm = np.linalg.norm(self.outputs[output], axis=-1, keepdims=True)
        return (self.outputs[output] / np.maximum(norm, 1e-12)).mean(axis=1)

    @property
    def class_N(self) -> np.ndarray:
        """Int [N]: the class of each video, -1 where it has none or can have several."""
        return self.labels_N if self.labels_N.ndim == 1 else np.full(len(self.labels_N), -1)

    @property
    def labelled_N(self) -> np.ndarray:
        """Bool [N]: which videos have a label."""
        if self.labels_N.ndim == 2:
            return np.any(self.labels_N > 0, axis=1)
        return np.asarray(self.labels_N >= 0)

    def is_present(self, name: str) -> np.ndarray:
        """Which vectors of output `name` mean something: bool [N, V], or [N, K] of a text."""
        modality = name.partition("_")[0]
        shape = self.outputs[name].shape[:2]
        return self.present.get(modality, np.ones(shape, bool)) & self.valid_N[:, None]

    def take(self, rows: np.ndarray) -> Features:
        """Only the videos of `rows` (indices, or bool [N]); `left_out` stays as it is."""
        return dataclasses.replace(
            self,
            outputs={name: value[rows] for name, value in self.outputs.items()},
            labels_N=self.labels_N[rows],
            valid_N=self.valid_N[rows],
            present={name: value[rows] for name, value in self.present.items()},
        )

    def readable(self) -> Features:
        """The same without the videos that could not be read."""
        return self.take(self.valid_N)


def extract_features(
    embed: Embed,
    source: Source,
    spec: InputSpec,
    *,
    batch_size: int,
    workers: int = 0,
    timeout: float = TIMEOUT_S,
    share: tuple[int, int] = (0, 1),
    progress: Callable[[Iterable], Iterable] = lambda batches: batches,
) -> Features:
    """Runs `embed` over every video of `source` once; all processes get all of its features.

    Args:
      embed: the frozen network on a host batch, this process's share of `batch_size` videos.
      source: the videos.
      spec: the views of each, and the modalities.
      batch_size: videos per call; the last batch is padded, and padding never counted.
      workers: processes that decode.
      timeout: seconds after which a process gives a video up.
      share: (index, count) of what this process reads of each batch; see `parallel.mesh.share`.
      progress: wraps the batches, to show how far it is.
    """
    batches = evaluation_batches(
        source, spec, batch_size=batch_size, workers=workers, timeout=timeout, host=share
    )
    return features_of(embed, source, progress(batches))


def features_of(embed: Embed, source: Source, batches: Iterable[dict[str, np.ndarray]]) -> Features:
    """What `embed` says of some batches of `source`, at least one of them.

    Rows are in the order of the source, and only for the videos in the batches. Of several
    processes each brings batches of its own, as many as the others and of equal shapes.
    """
    parts: list[dict[str, np.ndarray]] = []
    left_out = []
    for batch in batches:
        found = {f"output {name}": _kept(value) for name, value in embed(batch).items()}
        found |= {f"present {name}": value for name, value in _present(batch).items()}
        found |= {name: batch[name] for name in ("index", "label", "valid")}
        reasons = _reasons(batch)
        found = hosts.gather_rows(found)
        if np.any((found["index"] >= 0) & ~found["valid"]):
            reasons = {k: v for of_one in hosts.gather(reasons) for k, v in of_one.items()}
        # Once each: processes may have read the same share, and all padding is -1.
        index, rows = np.unique(found["index"], return_index=True)
        parts.append({name: value[rows[index >= 0]] for name, value in found.items()})
        left_out += [(source.info(int(row)), why) for row, why in sorted(reasons.items(), key=_row)]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def named(kind: str) -> dict[str, np.ndarray]:
        return {k.removeprefix(kind): v for k, v in joined.items() if k.startswith(kind)}

    return Features(
        outputs=named("output "),
        labels_N=joined["label"],
        valid_N=joined["valid"],
        left_out=tuple(left_out),
        present=named("present "),
    )


def _kept(value: np.ndarray) -> np.ndarray:
    return value if value.dtype == np.float16 else np.asarray(value, np.float32)


def _reasons(batch: dict[str, np.ndarray]) -> dict[str, str]:
    """By index, as text, why a video of this process's batch could not be read."""
    rows = np.flatnonzero((batch["index"] >= 0) & ~batch["valid"])
    return {str(batch["index"][row]): str(batch["error"][row]) for row in rows}


def _row(reason: tuple[str, str]) -> int:
    return int(reason[0])


def _present(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Which clips of a batch have sound, and which of its sentences are some."""
    present = {}
    if "audio_valid" in batch:
        present["audio"] = batch["audio_valid"]
    if "text" in batch:
        present["text"] = (batch["text"] != 0).any(axis=-1)
    return present


def with_tokens(network: Network, modalities: Sequence[str], videos: int) -> Embed:
    """The network's `embed` with all tokens of `modalities` among its outputs, where it has any.

    They are named "video_tokens" [B, V, L, D] and the like. Where tokens of `videos` videos would
    not fit into memory, the first batch raises a UserError.
    """

    def embed(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = dict(network.embed(batch))
        for modality in modalities:
            tokens = network.tokens(batch, modality) if modality in batch else None
            if tokens is None:
                continue
            needed = tokens.nbytes / len(tokens) * videos
            if needed > _MAX_TOKENS_BYTES:
                raise UserError(
                    f"the attentive probe keeps every token of {videos} videos, "
                    f"{needed / 2**30:.0f} GB of {modality}; lower config.eval.train_clips, "
                    "config.eval.clips or config.data.train_videos"
                )
            outputs[f"{modality}_tokens"] = tokens
        return outputs

    return embed
