"""The stages' front doors, one module each. No stage imports another; `packager.pipeline.line` knows their order."""
