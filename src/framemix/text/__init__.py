"""Names that others chose, in lines of text and in Markdown.

A stranger may have named a file or a class: code that makes a name harmless and readable belongs
here. Messages do not, nor where text is printed (`jobs`) or drawn (`pictures`).
"""
