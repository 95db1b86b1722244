"""Networks in and out: text and SBML."""
