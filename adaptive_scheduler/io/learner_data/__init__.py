"""The data of learners on disk: data files and point journals."""
