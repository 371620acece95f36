"""Sources and formats: what `data` of a recipe names -> conversations (`table`).

`sources` reads files into `records` (`json_files`, `csv_files`, `sheets`, `arrow_files`), `formats` makes
conversations of them (`conversations` of lists of turns; `texts` cleans, `mending` mends what the recipe names);
`columns` knows names, `header` which row holds them, `recognise` tells what a file without a recipe holds. `encoding`
decodes text, `medquad` knows MedQuAD's files, `hub_dataset` fetches a data set of the Hub.
"""
