"""Paper B's study: the effect of mixing on accuracy, and on seeing the direction of time.

The cells of the study, the questions to its networks, and its report belong here. Mixing frames
does not (`mixing`), nor training networks (`training`, `pretraining`).
"""
