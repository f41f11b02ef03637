"""What is compared: adaptation methods as sums of loss terms, and the networks (`methods.networks`) that they train."""
