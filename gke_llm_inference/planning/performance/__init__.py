"""Speed of a server under a load: how long its steps take, and what its scheduler makes of them."""
