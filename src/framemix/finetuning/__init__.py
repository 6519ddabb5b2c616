"""The stage finetune: ViViT on drivers' clips, in four modes (paper A, section IV).

Which clips and classes it learns, which weights it starts from and which of them it trains
belong here. How a network is trained does not: that is `training`, the same for all.
"""
