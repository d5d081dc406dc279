"""What the fields of a config may be, by their dotted names; a config need not have all of them."""

from cvrl_jax.evaluation.linear_probe import SOLVERS
from cvrl_jax.evaluation.specs import TRAIN_VIEWS
from cvrl_jax.evaluation.views import VIEW_MEANS
from data_pipelines.sources import SOURCES

AT_LEAST_ONE = (
    "batch_size",
    "steps",
    "data.frames",
    "data.size",
    "data.max_pixels",
    "data.max_frames",
    "eval.clips",
    "eval.train_clips",
    "eval.batch_size",
    "eval.knn_k",
    "eval.temporal_stride",
    "eval.linear.epochs",
    "eval.linear.batch_size",
    "eval.few_shot.draws",
    "eval.finetune.epochs",
    "eval.finetune.batch_size",
    "eval.attentive.epochs",
    "eval.attentive.batch_size",
    "eval.attentive.heads",
    "checkpoint.every",
    "checkpoint.keep",
    "log.every",
    "head.hidden",
    "head.out",
    "data.audio.rate",
    "data.audio.samples",
    "data.text.sentences",
    "data.text.tokens",
)
POSITIVE = (
    "data.fps",
    "data.max_hours",
    "data.max_seconds",
    "eval.knn_temperature",
    "eval.linear.learning_rate",
    "eval.few_shot.l2",
    "eval.attentive.learning_rate",
    "optimizer.base_learning_rate",
)
FRACTION = (
    "data.eval_fraction",
    "data.max_bad_fraction",
    "data.max_missing_fraction",
    "data.caption_noise",
    "eval.linear.validation_share",
)
NOT_NEGATIVE = (
    "data.train_videos",
    "data.test_videos",
    "data.power",
    "data.sound_noise",
    "data.misalignment",
    "augment.strength",
    "augment.audio_noise",
    "method.audio_weight",
    "method.text_weight",
    "eval.every",
    "eval.retrieval_ways",
    "eval.finetune.least_steps",
    "eval.finetune.warmup_epochs",
    "eval.attentive.weight_decay",
    "eval.frames",
    "eval.size",
    "head.layers",
    "optimizer.warmup_steps",
    "optimizer.weight_decay",
    "optimizer.clip_norm",
)
ONE_OF = {
    "data.source": SOURCES,
    "data.stride_unit": ("frames", "seconds"),
    "data.last_batch": ("drop", "pad"),
    "data.crop": ("random", "scale_jittered"),
    "data.sampling": ("decreasing", "uniform", "increasing", "same"),
    "optimizer.clip_part": ("all", "towers"),
    "eval.crops": (1, 3),
    "eval.view_mean": VIEW_MEANS,
    "eval.train_views": TRAIN_VIEWS,
    "eval.linear.solver": SOLVERS,
    "data.list_split": (1, 2, 3),
}
