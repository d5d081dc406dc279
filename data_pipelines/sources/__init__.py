"""Collections of videos: built in, in folders, or in the form in which they are distributed."""

from data_pipelines.sources.create import SOURCES, Sources, create_sources
from data_pipelines.sources.readers import read_splits
from data_pipelines.sources.section import (
    DataSection,
    add_section_flags,
    limits_of,
    section_of,
)

__all__ = [
    "SOURCES",
    "DataSection",
    "Sources",
    "add_section_flags",
    "create_sources",
    "limits_of",
    "read_splits",
    "section_of",
]
