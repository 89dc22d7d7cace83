"""How Rondel is run."""
