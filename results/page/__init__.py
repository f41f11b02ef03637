"""The report: one HTML file of what run folders hold."""
