"""What takes time, measured side by side: training steps, data, evaluation, the first seconds of a command."""
