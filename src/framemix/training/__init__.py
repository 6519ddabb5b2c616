"""Training on a mixed store: data, loop, fine-tuning modes."""
