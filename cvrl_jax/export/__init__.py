"""Parameters out to other ecosystems and in from them."""
