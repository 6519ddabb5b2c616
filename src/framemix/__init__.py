"""ViViT transfer learning and frame mix-up for video, from raw files to a drowsiness model."""
