"""From the folder layouts of the datasets to records of videos and their splits.

What knows how a dataset names, counts, keeps and divides its videos belongs here, and the
sample, which is made. How a file is decoded does not (`video`), nor how clips are mixed
and kept (`mixing`, `store`).
"""
