"""How datasets lie on disk: a file for each layout, which yields what it found there.

Names, lists and folders of a dataset belong here: which file is of which class, group and subset.
Layouts never decode a video, nor decide which are long enough: that is `intake`, the same for all.
"""
