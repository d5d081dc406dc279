"""Reads frames of video files by position, exactly as a plain decode from the start would."""

from data_pipelines.decode.facts import AudioFacts, FileFacts
from data_pipelines.decode.reader import VideoFileReader, open_video
from data_pipelines.decode.stream import MAX_PIXELS

__all__ = ["MAX_PIXELS", "AudioFacts", "FileFacts", "VideoFileReader", "open_video"]
