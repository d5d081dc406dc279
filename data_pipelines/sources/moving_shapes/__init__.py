"""A built-in collection of videos: shapes that move, drawn on the fly."""

from data_pipelines.sources.moving_shapes.source import MovingShapes

__all__ = ["MovingShapes"]
