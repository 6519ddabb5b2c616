"""Reading video files (decord, PyAV) and writing them (ffmpeg)."""
