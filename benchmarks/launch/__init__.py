"""Many runs: where they are made, and the table of all."""
