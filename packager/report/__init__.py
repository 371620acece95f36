"""What a build made and measured -> `report.html`, one page for people, and `metrics.json`, the same for programs.

`facts` gathers it, patient identifiers taken out; `answers` says in words what it comes to; `pictures` draws with
`plots`; `page` renders. What things are called in both languages stands in `words`, `units`, `fit_words` and
`data_words`. The page holds both languages and needs no network and no script. Questions of the
held-out rows are shown, where an evaluation asked them; no row that was trained on is.
"""
