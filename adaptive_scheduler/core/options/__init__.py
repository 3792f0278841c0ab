"""What users may ask of a run: options, their other names, and their checks."""
