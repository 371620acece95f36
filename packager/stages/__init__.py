"""The stages, one module each. No stage imports another; `packager.line` knows their order."""
