"""What every command stands on: its errors, its screen, reading YAML."""
