"""Small plots as SVG text, for a page or for a file of their own: values -> an accessible image with axes and units.

`axes` chooses round ticks and places values, `figures` draws. Colours are variables of `STYLE`, so that a
page, a printer and a dark screen can change them; a page includes `STYLE` once.
"""
