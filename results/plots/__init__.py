"""Plots that can be published: one palette, the widths of a paper, and files that hold their fonts."""
