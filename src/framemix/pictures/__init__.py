"""What all figures share: names are drawn as they are written, and files are written whole.

What a figure shows does not belong here, but beside what it is about.
"""
