"""Tasks on a batch system while all that runs them is killed: the kill campaign."""
