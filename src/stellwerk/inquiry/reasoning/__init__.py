"""What a language model adds to an investigation: a second opinion, and advice on the remedy."""
