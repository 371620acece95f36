"""The audit: rows -> the rows that can be trained on, their split, and all that was found out (`preparation`).

`duplicates` joins equal texts, `identifiers` finds patients' numbers, `lengths` counts tokens, `split` holds rows
out, `leak` checks that anew; `report` says it in words, `files` serves the command line.
"""
