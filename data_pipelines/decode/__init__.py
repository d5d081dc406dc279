"""Reads frames of video files by position, exactly as a plain decode would, and their sound."""

from data_pipelines.decode.facts import AudioFacts, FileFacts
from data_pipelines.decode.limits import Limits
from data_pipelines.decode.reader import VideoFileReader, open_video
from data_pipelines.decode.sound import SoundReader

__all__ = ["AudioFacts", "FileFacts", "Limits", "SoundReader", "VideoFileReader", "open_video"]
