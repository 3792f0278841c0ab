"""Commands that say why something does not go on."""
