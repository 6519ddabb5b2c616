"""What knows a checkout of the project: its params.yaml, profiles, stages and experiments.

`params` is the only reader of params.yaml. What computes does not belong here: the other
rooms are given their settings and paths, and work without a checkout.
"""
