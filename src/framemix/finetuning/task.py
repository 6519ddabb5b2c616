"""The classes that fine-tuning learns. A separate file, because command lines load it at start."""

from typing import Literal

Task = Literal["drowsy_class", "alert_drowsy", "three_state"]
