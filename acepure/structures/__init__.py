"""What comes in: `gate` decides what a structure is, `files` reads structures one at a time."""
