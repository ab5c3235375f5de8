"""Wire types: the JSON bodies of the interface, by subject. Unknown fields in requests are ignored."""
