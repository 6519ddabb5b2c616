"""The stage pretrain: a network from scratch, or from image weights, on labelled clips.

The network, its starting weights and what it learns belong here. How a network is trained
does not: that is `training`, the same for all.
"""
