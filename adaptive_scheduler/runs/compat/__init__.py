"""What `adaptive_scheduler.utils` gathers: small things that scripts of adaptive-scheduler 2 call."""
