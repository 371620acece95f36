"""The audit: rows -> the rows that can be trained on, their split, and all that was found out (`preparation`).

`duplicates` joins equal texts, `identifiers` finds patients' numbers, `lengths` counts tokens, `split` holds rows
out, `leak` checks that anew; `damage` and `contradictions` look at what texts say, `findings` names the places,
`report` is the audit as a value and `rendering` in words; `beforehand` is what `check` asks, `files` serves the
command line.
"""
