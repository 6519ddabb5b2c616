"""Training on a mixed store: data, loop, fine-tuning modes, and the metrics of what comes out."""
