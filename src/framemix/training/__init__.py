"""The engine that trains a network on a mixed store: batches, augmentation, loop, checkpoints.

What is the same for every training belongs here; dvc.yaml names the folder. What differs
does not: the network, its classes and its first weights are the business of `pretraining`
and `finetuning`.
"""
