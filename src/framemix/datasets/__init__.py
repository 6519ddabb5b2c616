"""From the folder layouts of the datasets to records of videos and their splits."""
