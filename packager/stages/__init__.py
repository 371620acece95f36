"""The stages, one module each. No stage imports another; `packager.build` knows their order."""
