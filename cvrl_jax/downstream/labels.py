"""Do the labels of a collection fit an evaluation? Asked before anything is decoded."""

from __future__ import annotations

import logging
from collections.abc import Collection

from cvrl_jax.evaluation.protocols import ON_CHECKPOINTS, PROTOCOLS
from data_pipelines.errors import UserError
from data_pipelines.sources import Sources
from data_pipelines.video import Source

log = logging.getLogger(__name__)

_SHOWN = 5  # classes that a message names


def check_labels(sources: Sources, protocols: Collection[str]) -> None:
    """Checks that every class that is tested on can be learned.

    Args:
      sources: of the evaluation.
      protocols: to be run; nothing is checked where none of them needs labels.

    Raises:
      UserError: there are no labelled test videos, or some of them are of a class of which there is
        no training video.
    """
    needing = [
        name
        for name in protocols
        if (name in PROTOCOLS and PROTOCOLS[name].needs_labels)
        or (name in ON_CHECKPOINTS and name != "cka")
    ]
    if not needing:
        return
    if sources.test is None:
        raise UserError(f"nothing to evaluate on: {sources.no_test_because}")
    if sources.folds is not None:
        return
    learned, tested = _classes_of(sources.train), _classes_of(sources.test)
    if not learned or not tested:
        side = sources.test if learned else sources.train
        raise UserError(
            f"{', '.join(needing)} needs labels, and no video of {side.name} has one; name the "
            "column of them with --config.data.label_column, or use class sub-folders"
        )
    unseen = sorted(sources.test.classes[label] for label in tested - learned)
    if unseen:
        raise UserError(
            f"{sources.test.name}: no training video of {len(unseen)} of the classes tested on "
            f"({', '.join(unseen[:_SHOWN])}{', ...' if len(unseen) > _SHOWN else ''}); check the "
            "labels and the split, or remove these videos"
        )


def _classes_of(source: Source) -> set[int]:
    found: set[int] = set()
    for index in range(len(source)):
        info = source.info(index)
        found |= set(info.labels or ()) | ({info.label} - {-1})
    return found
