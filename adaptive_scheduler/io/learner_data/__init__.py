"""The data of learners on disk: files, and the journals of their points."""
