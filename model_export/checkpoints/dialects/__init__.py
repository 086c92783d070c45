"""The parameter names of each library, as tables that give canonical names."""
