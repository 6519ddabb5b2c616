"""What fine-tuning learns to tell apart. Its own file: a command line loads it at each start."""

from typing import Literal

Task = Literal["drowsy_class", "alert_drowsy", "three_state"]
