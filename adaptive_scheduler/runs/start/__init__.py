"""Starting a run: checked, written into its folder, launched."""
