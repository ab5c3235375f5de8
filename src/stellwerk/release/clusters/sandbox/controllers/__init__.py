"""What a cluster's controllers do, as rules over the world: each looks, and mends what differs."""
