"""Which videos of an embedded collection are alike, as JSON and on a page that plays them."""
