"""Makes the pages of docs/reference from the code: `make reference` writes the pages, a test keeps them current.

A module per kind of page. Each module turns code into Markdown and writes nothing; `__main__` writes.
"""
