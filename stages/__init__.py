"""The pipeline's stages: a script each."""

import gc

# Loading libraries makes a million objects that stay. To look among them for garbage as often as
# Python does by itself takes a sixth of the time that a stage needs to load torch and Lightning.
gc.set_threshold(20_000)
