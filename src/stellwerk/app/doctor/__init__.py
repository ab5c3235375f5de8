"""`stellwerk doctor`: looks at everything a server needs, and changes nothing."""
