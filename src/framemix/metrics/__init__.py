"""Metrics from predictions and labels: accuracies, AUROC, intervals, means over seeds.

Each metric is computed in one place: `measures` has the arithmetic, `accuracy` and `drivers` choose
the clips. There are two kinds of intervals: `intervals` for one trained model, on clips of people
who are not in the sample; `means` for a recipe's mean over seeds and clips.

Arithmetic on predictions belongs here, below training and evaluation, which both need it. The
predictions do not (`training`), nor do tables and pictures (`evaluation`).
"""
