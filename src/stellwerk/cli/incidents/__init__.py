"""`stellwerk investigate`, `stellwerk remedy`: root causes and remedies on the terminal."""
