"""Where a network looks: attention rollout, non-local links, Grad-CAM; and their pictures.

Code that finds and draws the parts of a clip on which a prediction depends belongs here. The
networks do not (`models`), nor the commands that use it (`inference`).
"""
