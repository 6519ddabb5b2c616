"""Anyone's own labelled videos: how they are divided, what is trained on them, and its report.

What is only about one's own videos belongs here. How files are found and decoded does not
(`datasets`), nor how networks are trained (`training`) or judged (`metrics`).
"""
