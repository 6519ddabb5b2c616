"""The layouts of labelled videos: which one a folder has is seen from what is in it."""

from framemix.datasets.layouts.folders import FOLDERS
from framemix.datasets.layouts.something_something import SOMETHING_SOMETHING

# The first that fits a folder is its layout; any folder could be one of classes.
LABELLED = (SOMETHING_SOMETHING, FOLDERS)
