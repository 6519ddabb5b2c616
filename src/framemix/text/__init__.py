"""How people get to see what others have written: names in lines and in Markdown.

Whoever named a file or a class may be a stranger: what makes a name harmless and readable
belongs here. What is said does not, nor where it is printed (`jobs`) or drawn
(`pictures`).
"""
