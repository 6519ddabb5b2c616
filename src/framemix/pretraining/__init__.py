"""The stage pretrain: a network from scratch, or from image weights, on labelled clips.

The choice of the network, its first weights and its clips belongs here. The training itself does
not: `training` does it for all stages.
"""
