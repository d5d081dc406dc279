"""Sentences about videos and in them, in the forms in which they are distributed."""

from data_pipelines.captions.files import SUFFIXES, CaptionFile, read_captions
from data_pipelines.captions.values import captions_of, within

__all__ = ["SUFFIXES", "CaptionFile", "captions_of", "read_captions", "within"]
