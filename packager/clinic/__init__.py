"""What a package needs to run in a clinic without network or Python: docs/bundle.md.

`contents` brings the files together; `config` writes what scripts and page have to know; `stick` copies a bundle
to a USB stick; `cross_compile` and `starter` build the programs for the `targets`; `assets/` holds the scripts and
the page themselves.
"""
