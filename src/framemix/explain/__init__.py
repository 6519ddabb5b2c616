"""Where a network looks: attention rollout, non-local links, Grad-CAM; and their pictures.

What finds and draws the parts of a clip that an answer rests on belongs here. The
networks do not (`models`), nor the commands that ask for it (`inference`).
"""
