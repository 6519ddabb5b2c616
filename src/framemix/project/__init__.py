"""Code that knows a checkout of the project: params.yaml, profiles, stages and experiments.

`params` is the only reader of params.yaml. Computing does not belong here: the other rooms get
their settings and paths as arguments, and work without a checkout.
"""
