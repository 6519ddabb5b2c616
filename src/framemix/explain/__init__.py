"""Where a network looks: attention rollout, non-local links, Grad-CAM; and their pictures."""
