"""How the package measures, beside the amazon provider's own way."""
