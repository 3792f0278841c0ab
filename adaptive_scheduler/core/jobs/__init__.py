"""Jobs of the batch system: what is known of them, and what is to be done."""
