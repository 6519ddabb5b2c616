"""The pipeline's stages, one script each."""

import gc

# Importing libraries makes a million objects that stay. At Python's usual rate, searching them for
# garbage takes a sixth of the time that a stage needs to load torch and Lightning.
gc.set_threshold(20_000)
