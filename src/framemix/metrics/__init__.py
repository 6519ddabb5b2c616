"""Figures of merit from answers and labels: accuracies, AUROC, intervals, means over seeds.

Each figure is computed in one place: `measures` has the arithmetic, `accuracy` and `drivers` say
which clips count. Two intervals answer two questions: `intervals`, how far one trained model may be
off on clips of people whom nobody drew; `means`, how far a recipe's mean over seeds and clips may.

Arithmetic on a model's answers belongs here, below training and evaluation, which both
need it. What asks the model does not (`training`), nor tables and pictures (`evaluation`).
"""
