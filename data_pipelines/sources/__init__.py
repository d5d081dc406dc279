"""Collections of videos: built in, in folders, or in the form in which they are distributed."""

from data_pipelines.sources.create import SOURCES, Sources, create_sources

__all__ = ["SOURCES", "Sources", "create_sources"]
