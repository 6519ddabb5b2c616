"""Benchmarks: speed, as a ratio to something measured beside it, and networks on equal terms.

Code that measures the project's speed, or compares its networks, belongs here. The measured
code does not: no stage and no other room imports this one.
"""
