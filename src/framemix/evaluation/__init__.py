"""What trained models are worth: figures with intervals, tables, pictures, the page, the cards."""
