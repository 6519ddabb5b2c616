"""From what lies in a dataset's folder to rows of videos or clips, and their splits.

How a dataset names its videos belongs here (`layouts`), how each is listed, kept or rejected
(`intake`), cut (`cutting`) and put on a side (`splits`), and the sample, which is made. How a file
is decoded does not (`video`), nor how clips are mixed and kept (`mixing`, `store`).
"""
