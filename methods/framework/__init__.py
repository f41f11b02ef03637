"""What a method is: terms, recipes, and the training step that terms share."""
