"""What people and programs see of what commands do."""
