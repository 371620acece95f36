"""Artifacts: what stages hand on (`kinds`, `evaluation`), and how they are committed (`run_folder`)."""
