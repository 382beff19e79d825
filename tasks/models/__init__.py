"""The weights of networks: which ones are accepted, where they lie, and how they get there."""
