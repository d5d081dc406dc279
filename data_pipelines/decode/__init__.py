"""Reads frames of video files by position, exactly as a plain decode from the start would."""

from data_pipelines.decode.facts import AudioFacts, FileFacts
from data_pipelines.decode.limits import Limits
from data_pipelines.decode.reader import VideoFileReader, open_video

__all__ = ["AudioFacts", "FileFacts", "Limits", "VideoFileReader", "open_video"]
