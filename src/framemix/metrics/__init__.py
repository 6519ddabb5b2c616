"""Figures of merit from answers and labels: accuracies, AUROC, intervals, means over seeds.

Arithmetic on a model's answers belongs here, below training and evaluation, which both
need it. What asks the model does not (`training`), nor tables and pictures (`evaluation`).
"""
