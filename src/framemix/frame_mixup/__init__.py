"""Paper B's study: what mixing shows a network, and whether it shows the direction of time."""
