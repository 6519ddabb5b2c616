"""What a training starts from: the weights of a trained model, or of a published checkpoint.

Reading them and fitting them to clips and classes belongs here. Image weights of a network that is
pretrained do not (`pretraining`), nor which parts are then trained (`training`).
"""
