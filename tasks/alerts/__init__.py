"""What a person is told of, and through what: kinds of alerts, what was told, receivers."""
