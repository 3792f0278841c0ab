"""Jobs of the batch system: what is known of them, and what to do about them."""
