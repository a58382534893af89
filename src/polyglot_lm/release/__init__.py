"""Releases: export formats and the model card."""
