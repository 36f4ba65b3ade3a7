"""Other libraries at home with a server's data: one file for each, imported when it is asked for.

None of them is installed with zbridge; each is an extra, which the error names where it is missing.
"""
