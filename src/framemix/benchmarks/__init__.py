"""What the parts cost, each as a ratio to something that runs beside it.

What measures the project's speed, or its networks on equal terms, belongs here. What is
measured does not: no stage and no other room needs this one.
"""
