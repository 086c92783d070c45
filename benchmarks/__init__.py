"""How fast the service is, beside what the machine allows and beside its peers."""
