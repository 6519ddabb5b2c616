"""Evaluates trained models: metrics, tables, pictures, the page, the cards.

What the stage `evaluate` computes, draws and writes belongs here. Computing metrics
does not: that is in `metrics`, which training uses too.
"""
