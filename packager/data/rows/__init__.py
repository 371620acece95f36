"""Sources and formats: what `data` of a recipe names -> conversations (`table`).

`sources` reads files into records, `formats` makes conversations of records; `encoding` decodes text, `medquad`
knows MedQuAD's files, `hub_dataset` fetches a data set of the Hub.
"""
