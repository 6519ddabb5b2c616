"""What trained models are worth: figures, tables, pictures, the page, the cards.

What the stage evaluate judges, draws and writes belongs here. The arithmetic of a figure
does not: it is in `metrics`, where training finds it too.
"""
