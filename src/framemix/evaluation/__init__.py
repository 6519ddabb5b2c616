"""Metrics of trained models, and the tables and figures that show them."""
