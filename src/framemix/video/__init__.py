"""Reading video files (PyAV, decord) and cameras, and writing files (ffmpeg).

Code that reads files and cameras as frames, with their shapes and times, belongs here, and code
that writes files. Which files a dataset has does not (`datasets`), nor what uses the frames.
"""
