"""How datasets are stored on disk: one module per layout, which yields the videos in a folder.

Knowledge of a dataset's names, lists and folders belongs here: the class, group and subset of each
file. Layouts never decode a video, nor decide which are long enough: `intake` does, for all.
"""
