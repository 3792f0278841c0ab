"""Where adaptive-scheduler 2 has its schedulers: tests of other packages look there."""
