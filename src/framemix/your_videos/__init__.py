"""Users' own labelled videos: their split, the training on them, and its report.

Code for users' own videos only belongs here. Finding and decoding files does not (`datasets`), nor
training networks (`training`) or computing metrics (`metrics`).
"""
