"""The faces of a run, as a person meets them: a browser, JupyterLab, a terminal; in `make test-all`."""
