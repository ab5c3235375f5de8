"""What the world speaks: a folder for each published interface. They never import each other."""
