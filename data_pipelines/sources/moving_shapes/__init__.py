"""A built-in collection of videos: shapes that move, drawn on the fly, and speak."""

from data_pipelines.sources.moving_shapes.sentences import VOCABULARY
from data_pipelines.sources.moving_shapes.source import MovingShapes

__all__ = ["VOCABULARY", "MovingShapes"]
