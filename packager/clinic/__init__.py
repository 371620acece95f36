"""What a package needs to run in a clinic without network or Python: docs/bundle.md.

`config` writes what scripts and page have to know. `signing` signs a bundle and checks that; `stick` copies
one to a USB stick. `assets/` holds the scripts and the page themselves.
"""
