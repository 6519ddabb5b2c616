"""Reading video files (PyAV, decord) and cameras, and writing files (ffmpeg).

What reads files and cameras as frames, with their shapes and times, belongs here, and what
writes files. Which files a dataset has does not (`datasets`), nor what is made of frames.
"""
