"""A corpus of sources, run through the product into its main outputs: `python -m tests.corpus` writes docs/media-support.md."""
