// A table of which only the visible rows exist: the others are asked for when they are scrolled to.
