"""The report of a run: what happened, where the time went, what failed; as a page, as JSON, as Markdown."""
