"""The layouts of labelled videos; the content of a folder or list shows which one it has."""

from framemix.datasets.layouts.csv_file import CSV_FILE
from framemix.datasets.layouts.folders import FOLDERS
from framemix.datasets.layouts.hmdb51 import HMDB51
from framemix.datasets.layouts.kinetics import KINETICS
from framemix.datasets.layouts.metadata import METADATA
from framemix.datasets.layouts.mmaction import MMACTION
from framemix.datasets.layouts.something_something import SOMETHING_SOMETHING
from framemix.datasets.layouts.ucf101 import UCF101

# The first that fits is used: lists before names of files, and last FOLDERS, which always fits.
LABELLED = (
    CSV_FILE,
    METADATA,
    KINETICS,
    HMDB51,
    MMACTION,
    SOMETHING_SOMETHING,
    UCF101,
    FOLDERS,
)
