"""The stage finetune: ViViT on drivers' clips, in four modes (paper A, section IV).

The choice of the clips and classes, of the first weights and of the trained parts belongs here. The
training itself does not: `training` does it for all stages.
"""
