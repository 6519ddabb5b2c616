"""What the parts cost, each as a ratio to something that runs beside it."""
