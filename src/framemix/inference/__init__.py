"""The use of a trained model: predict, watch, explain, export, demo.

The commands for videos and cameras belong here, with their output. Evaluating a model on labelled
clips does not (`evaluation`), nor commands that need a checkout (`project`).
"""
