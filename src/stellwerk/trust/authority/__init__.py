"""The certificate authority: one root that vouches for agents, another one for servers."""
