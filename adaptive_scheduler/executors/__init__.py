"""How one job uses its cores: each executor launches the client and opens a pool in it."""
