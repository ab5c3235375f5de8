"""Parameters: what an instance of an application is set to, with its history."""
