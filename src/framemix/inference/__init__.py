"""What a person does with a trained model: predict, watch, explain, export, demo.

The commands for videos and cameras belong here, with what they print and draw. Judging a
model by labelled clips does not (`evaluation`), nor what needs a checkout (`project`).
"""
