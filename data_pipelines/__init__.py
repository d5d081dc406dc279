"""From video files to batches of uint8 clips: numpy, PyAV and grain; never jax."""
