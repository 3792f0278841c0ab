"""One run as a page: what is shown is decided here; `static/` draws it, in a notebook, a browser or a report."""
