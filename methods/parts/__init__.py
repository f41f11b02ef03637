"""What methods are made of: losses, teacher, pseudo-labels, masks, the Rebuilder."""
