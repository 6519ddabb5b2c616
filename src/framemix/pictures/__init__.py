"""Code that all figures share: drawing names literally, and writing the files atomically.

The figures themselves do not belong here, but beside the code whose results they show.
"""
