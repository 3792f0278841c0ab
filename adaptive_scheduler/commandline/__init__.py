"""The command line: one module per command; `input` reads what is typed, `output` prints."""
