"""An EMEWS workflow as a run of tasks."""
