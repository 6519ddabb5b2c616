"""Paper B's study: what mixing shows a network, and whether it shows the direction of time.

The cells of the study, what its networks are asked, and its report belong here. How frames
are mixed does not (`mixing`), nor how a network is trained (`training`, `pretraining`).
"""
